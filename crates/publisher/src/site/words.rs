//! What the pages say, in each language.

use super::{language::Language, shelf::Order};

/// The words of one language.
#[derive(Debug)]
pub(crate) struct Words {
    pub skip: &'static str,
    pub search: &'static str,
    pub search_for: &'static str,
    pub language: &'static str,
    pub slogan: &'static str,
    pub promise: &'static str,
    pub all: &'static str,
    pub categories: &'static str,
    pub sorting: &'static str,
    pub play: &'static str,
    pub nothing_yet: &'static str,
    pub nothing_yet_more: &'static str,
    pub nothing_found: &'static str,
    pub nothing_found_more: &'static str,
    pub show_all: &'static str,
    pub being_added: &'static str,
    pub pages: &'static str,
    pub previous: &'static str,
    pub next: &'static str,
    pub size: &'static str,
    pub added: &'static str,
    pub format: &'static str,
    pub picture: &'static str,
    pub sound: &'static str,
    pub subtitles: &'static str,
    pub scenes: &'static str,
    pub chapters: &'static str,
    pub episodes: &'static str,
    pub versions: &'static str,
    pub share: &'static str,
    pub share_more: &'static str,
    pub page_link: &'static str,
    pub app_link: &'static str,
    pub button_code: &'static str,
    pub link_code: &'static str,
    pub embed: &'static str,
    pub embed_more: &'static str,
    pub copy: &'static str,
    pub copied: &'static str,
    pub nobody_yet: &'static str,
    pub other_player: &'static str,
    pub opening: &'static str,
    pub opening_more: &'static str,
    pub open_app: &'static str,
    pub no_app: &'static str,
    pub no_app_more: &'static str,
    pub no_app_ask: &'static str,
    pub get_app: &'static str,
    pub app_silent: &'static str,
    pub app_silent_more: &'static str,
    pub without_app: &'static str,
    pub without_app_more: &'static str,
    pub watch_here: &'static str,
    pub by_hand: &'static str,
    pub by_hand_more: &'static str,
    pub back_to: &'static str,
    pub feed: &'static str,
    pub not_found: &'static str,
    pub not_found_more: &'static str,
    pub no_film: &'static str,
    pub no_film_more: &'static str,
    pub gone: &'static str,
    pub gone_more: &'static str,
    pub elsewhere: &'static str,
    pub elsewhere_more: &'static str,
    pub elsewhere_link: &'static str,
    pub busy: &'static str,
    pub busy_more: &'static str,
    pub to_catalogue: &'static str,
}

const ENGLISH: Words = Words {
    skip: "Skip to the content",
    search: "Search",
    search_for: "Search titles",
    language: "Language",
    slogan: "Films that come from viewers near you",
    promise: "Films open in the Nearcast player. They come from viewers on your own network first, every byte is verified on arrival, and what you have watched you pass on.",
    all: "All",
    categories: "Categories",
    sorting: "Sort by",
    play: "Play",
    nothing_yet: "Nothing is here yet",
    nothing_yet_more: "Films appear here by themselves as soon as they are in the publisher's folder.",
    nothing_found: "Nothing was found",
    nothing_found_more: "Try fewer or other words, or look through all titles.",
    show_all: "Show all titles",
    being_added: "Being added",
    pages: "Pages",
    previous: "Previous",
    next: "Next",
    size: "Size",
    added: "Added",
    format: "Format",
    picture: "Picture",
    sound: "Sound",
    subtitles: "Subtitles",
    scenes: "Scenes",
    chapters: "Chapters",
    episodes: "Episodes",
    versions: "Versions",
    share: "Share",
    share_more: "Send the page to anyone. The Nearcast link opens in the app at once and works even while this site is away.",
    page_link: "Page",
    app_link: "Nearcast link",
    button_code: "Button for your site",
    link_code: "Plain link for your site",
    embed: "Put it on your site",
    embed_more: "Neither loads anything from elsewhere or follows your visitors.",
    copy: "Copy",
    copied: "Copied",
    nobody_yet: "No other viewer holds it yet: the first one gets it from here.",
    other_player: "Open in another player",
    opening: "Opening in Nearcast …",
    opening_more: "The player should open in a moment. Your browser may ask first: allow it.",
    open_app: "Open in Nearcast",
    no_app: "Nothing happens?",
    no_app_more: "Then the Nearcast app is not on this device yet. Install it, come back and press the button above.",
    no_app_ask: "Then the Nearcast app is not on this device yet. Whoever runs this site can tell you where to get it.",
    get_app: "Get Nearcast",
    app_silent: "It is installed and still nothing happens?",
    app_silent_more: "Copy the Nearcast link, start the app, and paste it there with Ctrl+V.",
    without_app: "No app? Watch it all the same",
    without_app_more: "The film then comes from this server alone. Places are few, and it can't be faster than the server.",
    watch_here: "Watch in the browser",
    by_hand: "In a terminal",
    by_hand_more: "The app without a window plays in any player:",
    back_to: "Back to",
    feed: "New films as a feed",
    not_found: "There is no such page",
    not_found_more: "The address may be mistyped, or the page has moved. Search for what you were after, or look through the catalogue.",
    no_film: "This film isn't here",
    no_film_more: "It may have been changed or removed: a link always means the exact same bytes. A newer version may be in the catalogue.",
    gone: "This film was taken down",
    gone_more: "Whoever runs this site has taken it down. It isn't offered here any more.",
    elsewhere: "This film isn't here, but others hold it",
    elsewhere_more: "This publisher never had it, so it can't make the whole link. Open the complete nearcast: link you were given in the app; it finds the viewers who hold the film by itself.",
    elsewhere_link: "The app finds the viewers who hold it by itself.",
    busy: "All places without the app are taken",
    busy_more: "The server gives a few viewers films directly. Try again in a moment, or watch with the app, which gets the film from other viewers.",
    to_catalogue: "To the catalogue",
};

const CHINESE: Words = Words {
    skip: "跳到正文",
    search: "搜索",
    search_for: "搜索影片",
    language: "语言",
    slogan: "影片从您身边的观众传来",
    promise: "影片在 Nearcast 播放器中打开，优先来自您所在网络的观众；每个字节到达时都会校验，您看过的内容也会传给其他人。",
    all: "全部",
    categories: "分类",
    sorting: "排序",
    play: "播放",
    nothing_yet: "这里还没有影片",
    nothing_yet_more: "影片放入发布者的文件夹后，会自动出现在这里。",
    nothing_found: "没有找到",
    nothing_found_more: "请换用更少或其他的词，或者浏览全部影片。",
    show_all: "显示全部影片",
    being_added: "正在添加",
    pages: "页码",
    previous: "上一页",
    next: "下一页",
    size: "大小",
    added: "添加日期",
    format: "格式",
    picture: "视频",
    sound: "音频",
    subtitles: "字幕",
    scenes: "画面",
    chapters: "章节",
    episodes: "剧集",
    versions: "版本",
    share: "分享",
    share_more: "把本页发给任何人。Nearcast 链接会直接在应用中打开，即使本站暂时无法访问也能使用。",
    page_link: "页面",
    app_link: "Nearcast 链接",
    button_code: "网站按钮",
    link_code: "网站文字链接",
    embed: "放到您的网站",
    embed_more: "两者都不会从其他地方加载内容，也不会跟踪您的访客。",
    copy: "复制",
    copied: "已复制",
    nobody_yet: "还没有其他观众持有它：第一位观众将从这里获取。",
    other_player: "用其他播放器打开",
    opening: "正在用 Nearcast 打开……",
    opening_more: "播放器马上就会打开。浏览器可能会先询问，请允许。",
    open_app: "在 Nearcast 中打开",
    no_app: "没有反应？",
    no_app_more: "那么这台设备上还没有 Nearcast 应用。请先安装，然后回到这里按上面的按钮。",
    no_app_ask: "那么这台设备上还没有 Nearcast 应用。请向本站的管理者询问获取方式。",
    get_app: "获取 Nearcast",
    app_silent: "已经安装，却仍然没有反应？",
    app_silent_more: "复制 Nearcast 链接，启动应用，然后按 Ctrl+V 粘贴。",
    without_app: "没有应用？也可以观看",
    without_app_more: "这时影片只来自本服务器：名额有限，速度也受服务器限制。",
    watch_here: "在浏览器中观看",
    by_hand: "在终端中",
    by_hand_more: "无窗口的程序可以配合任何播放器使用：",
    back_to: "返回",
    feed: "订阅新影片",
    not_found: "没有这个页面",
    not_found_more: "地址可能输入有误，或者页面已经移动。请搜索您要找的内容，或浏览目录。",
    no_film: "这里没有这部影片",
    no_film_more: "它可能已被修改或移除：一个链接始终指向完全相同的内容。目录中可能有更新的版本。",
    gone: "这部影片已被下架",
    gone_more: "本站的管理者已将它下架，这里不再提供。",
    elsewhere: "这里没有这部影片，但有人持有",
    elsewhere_more: "本发布者从未拥有过它，因此无法给出完整的链接。请在应用中打开您得到的完整 nearcast: 链接，应用会自己找到持有影片的观众。",
    elsewhere_link: "应用会自己找到持有它的观众。",
    busy: "无应用观看的名额已满",
    busy_more: "服务器只能直接为少数观众提供影片。请稍后再试，或者使用应用观看：应用从其他观众那里获取影片。",
    to_catalogue: "前往目录",
};

impl Language {
    /// Its words.
    pub(crate) fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        }
    }

    /// How an order is called.
    pub(crate) fn order(self, order: Order) -> &'static str {
        match (order, self) {
            (Order::Name, Self::English) => "Name",
            (Order::Newest, Self::English) => "Newest",
            (Order::Longest, Self::English) => "Longest",
            (Order::Largest, Self::English) => "Largest",
            (Order::Name, Self::Chinese) => "名称",
            (Order::Newest, Self::Chinese) => "最新",
            (Order::Longest, Self::Chinese) => "最长",
            (Order::Largest, Self::Chinese) => "最大",
        }
    }

    /// 1 title, 12 titles.
    pub(crate) fn titles(self, count: usize) -> String {
        match (self, count) {
            (Self::English, 1) => "1 title".into(),
            (Self::English, _) => format!("{count} titles"),
            (Self::Chinese, _) => format!("{count} 部影片"),
        }
    }

    /// What was found.
    pub(crate) fn results(self, count: usize, question: &str) -> String {
        match (self, count) {
            (Self::English, 1) => format!("1 result for “{question}”"),
            (Self::English, _) => format!("{count} results for “{question}”"),
            (Self::Chinese, _) => format!("“{question}”的 {count} 个结果"),
        }
    }

    /// 1 episode, 12 episodes.
    pub(crate) fn episodes(self, count: usize) -> String {
        match (self, count) {
            (Self::English, 1) => "1 episode".into(),
            (Self::English, _) => format!("{count} episodes"),
            (Self::Chinese, _) => format!("{count} 集"),
        }
    }

    /// Which part of a series.
    pub(crate) fn episode(self, season: u32, number: u32) -> String {
        match self {
            Self::English => format!("Season {season}, episode {number}"),
            Self::Chinese => format!("第 {season} 季 第 {number} 集"),
        }
    }

    /// What Play does, for those who don't see beside what it stands.
    pub(crate) fn play_it(self, name: &str) -> String {
        match self {
            Self::English => format!("Play {name}"),
            Self::Chinese => format!("播放 {name}"),
        }
    }

    /// Where a visitor is in a long list.
    pub(crate) fn page_of(self, page: usize, pages: usize) -> String {
        match self {
            Self::English => format!("Page {page} of {pages}"),
            Self::Chinese => format!("第 {page} 页，共 {pages} 页"),
        }
    }

    /// How many hold a film besides us.
    pub(crate) fn holders(self, all: u32, complete: u32) -> String {
        match (self, all) {
            (_, 0) => self.words().nobody_yet.into(),
            (Self::English, 1) if complete == 0 => "1 other computer holds a part of it now".into(),
            (Self::English, 1) => "1 other computer holds all of it now".into(),
            (Self::English, _) => format!("{all} other computers hold it now, {complete} of them complete"),
            (Self::Chinese, _) => format!("另有 {all} 台电脑持有它，其中 {complete} 台完整"),
        }
    }

    /// How many hold a film that isn't here.
    pub(crate) fn others_hold(self, count: u32) -> String {
        match (self, count) {
            (Self::English, 1) => "The tracker knows 1 computer that holds it.".into(),
            (Self::English, _) => format!("The tracker knows {count} computers that hold it."),
            (Self::Chinese, _) => format!("跟踪服务器知道有 {count} 台电脑持有它。"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_said_as_people_say_them() {
        assert_eq!(Language::English.titles(1), "1 title");
        assert_eq!(Language::English.holders(1, 1), "1 other computer holds all of it now");
        assert_eq!(Language::English.holders(1, 0), "1 other computer holds a part of it now");
        assert_eq!(Language::Chinese.holders(3, 2), "另有 3 台电脑持有它，其中 2 台完整");
    }
}
