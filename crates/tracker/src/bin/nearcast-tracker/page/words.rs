//! The page's words, in English and Chinese.

/// All that the page says in one language.
pub struct Words {
    pub code: &'static str,
    pub other: (&'static str, &'static str),
    pub title: &'static str,
    pub running: &'static str,
    pub days: &'static str,
    pub live: &'static str,
    pub lost: &'static str,
    pub kept: &'static str,
    pub kept_help: &'static str,
    pub nothing_yet: &'static str,
    pub own: &'static str,
    pub others: &'static str,
    pub publishers: &'static str,
    pub nodes: &'static str,
    pub films: &'static str,
    pub holdings: &'static str,
    pub requests: &'static str,
    pub per_second: &'static str,
    pub last_minutes: &'static str,
    pub listed: &'static str,
    pub listed_help: &'static str,
    pub refused: &'static str,
    pub of_requests: (&'static str, &'static str),
    pub in_networks: (&'static str, &'static str),
    pub memory: &'static str,
    pub full: &'static str,
    pub networks: &'static str,
    pub network: &'static str,
    pub group: &'static str,
    pub unknown: &'static str,
    pub received: &'static str,
    pub inside: &'static str,
    pub most_held: &'static str,
    pub film: &'static str,
    pub holders: &'static str,
    pub complete: &'static str,
    pub no_networks: &'static str,
    pub no_films: &'static str,
    pub first: &'static str,
}

pub const ENGLISH: Words = Words {
    code: "en",
    other: ("zh", "中文"),
    title: "Nearcast tracker",
    running: "running for",
    days: "d",
    live: "live",
    lost: "no connection",
    kept: "Kept inside",
    kept_help: "Of all bytes that viewers report to have received, so much came from their own network.",
    nothing_yet: "No viewer has reported anything yet.",
    own: "own network",
    others: "other networks",
    publishers: "publishers",
    nodes: "Nodes",
    films: "Films",
    holdings: "holdings",
    requests: "Requests",
    per_second: "/s",
    last_minutes: "last two minutes",
    listed: "Neighbours listed",
    listed_help: "of the peers handed out, in the asker’s own network",
    refused: "Refused",
    of_requests: ("of ", " requests"),
    in_networks: ("in ", " networks"),
    memory: "Memory",
    full: "Memory full",
    networks: "Networks",
    network: "Network",
    group: "group",
    unknown: "unknown networks",
    received: "Received",
    inside: "Kept inside",
    most_held: "Films held most",
    film: "Film",
    holders: "Holders",
    complete: "Complete",
    no_networks: "No node has registered yet.",
    no_films: "Nobody holds anything yet.",
    first: "first 50",
};

pub const CHINESE: Words = Words {
    code: "zh",
    other: ("en", "English"),
    title: "Nearcast 资源跟踪服务器",
    running: "已运行",
    days: "天",
    live: "实时",
    lost: "连接中断",
    kept: "网内流量",
    kept_help: "按观众上报，收到的全部数据中来自本网络的比例。",
    nothing_yet: "尚无观众上报数据。",
    own: "本网络",
    others: "其他网络",
    publishers: "发布服务器",
    nodes: "节点",
    films: "影片",
    holdings: "持有关系",
    requests: "请求",
    per_second: "/秒",
    last_minutes: "最近两分钟",
    listed: "邻近率",
    listed_help: "已分发节点中与请求者同网的比例",
    refused: "已拒绝",
    of_requests: ("共 ", " 次请求"),
    in_networks: ("分布于 ", " 个网络"),
    memory: "内存",
    full: "内存已满",
    networks: "网络",
    network: "网络",
    group: "组",
    unknown: "未知网络",
    received: "已接收",
    inside: "网内",
    most_held: "持有最多的影片",
    film: "影片",
    holders: "持有者",
    complete: "完整",
    no_networks: "尚无节点登记。",
    no_films: "尚无人持有影片。",
    first: "前 50",
};

/// The language that was chosen, or else the first of those the browser would like that there is.
pub fn words(chosen: Option<&str>, accepted: &str) -> &'static Words {
    let known = |tag: &str| match tag.split(['-', ';']).next().map(str::trim) {
        Some("zh") => Some(&CHINESE),
        Some("en") => Some(&ENGLISH),
        _ => None,
    };
    chosen.and_then(known).or_else(|| accepted.split(',').find_map(known)).unwrap_or(&ENGLISH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_s_language_is_found() {
        for (chosen, accepted, code) in [
            (None, "", "en"),
            (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
            (None, "de-DE, en;q=0.5, zh", "en"),
            (None, "fr, zh-Hant", "zh"),
            (Some("en"), "zh", "en"),
            (Some("zh"), "en", "zh"),
            (Some("xx"), "zh", "zh"),
        ] {
            assert_eq!(words(chosen, accepted).code, code, "{chosen:?} {accepted:?}");
        }
    }
}
