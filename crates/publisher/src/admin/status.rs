//! The status page: what goes on, for a person.

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use maud::{DOCTYPE, Markup, html};
use nearcast_protocol::Group;
use serde_json::{Value, json};

use super::{Desk, metrics::network};
use crate::site::{Visit, answer, figures, language::Language};

pub(super) const SCRIPT: &str = include_str!("status.js");
/// Rows of a table; what matters most comes first.
const ROWS: usize = 50;

struct Words {
    status: &'static str,
    language: &'static str,
    out_now: &'static str,
    direct_now: &'static str,
    viewers: &'static str,
    direct: &'static str,
    given: &'static str,
    saved: &'static str,
    titles: &'static str,
    held: &'static str,
    trackers: &'static str,
    tracker: &'static str,
    state: &'static str,
    leased: &'static str,
    asking: &'static str,
    no_tracker: &'static str,
    busiest: &'static str,
    title: &'static str,
    streams: &'static str,
    complete: &'static str,
    load: &'static str,
    resting: &'static str,
    serving: &'static str,
    nothing_given: &'static str,
    networks: &'static str,
    network: &'static str,
    unknown: &'static str,
    hashing: &'static str,
    file: &'static str,
    progress: &'static str,
    waiting: &'static str,
    all_hashed: &'static str,
    problems: &'static str,
    reason: &'static str,
    no_problems: &'static str,
    ending: &'static str,
}

const ENGLISH: Words = Words {
    status: "Status",
    language: "Language",
    out_now: "To viewers now",
    direct_now: "Without the app now",
    viewers: "Viewers served",
    direct: "Without the app",
    given: "Given so far",
    saved: "Carried by viewers",
    titles: "Titles up",
    held: "Taken down",
    trackers: "Trackers",
    tracker: "Address",
    state: "State",
    leased: "Registered",
    asking: "Not registered yet",
    no_tracker: "No tracker is named, so viewers won't find this publisher (--tracker ADDRESS).",
    busiest: "Titles in demand",
    title: "Title",
    streams: "Viewers",
    complete: "Hold all of it",
    load: "Load",
    resting: "Left to viewers",
    serving: "Serving",
    nothing_given: "Nothing was given yet.",
    networks: "Networks",
    network: "Network",
    unknown: "not known",
    hashing: "Being added",
    file: "File",
    progress: "Done",
    waiting: "waiting",
    all_hashed: "Everything in the folders is up.",
    problems: "Problems",
    reason: "What is wrong",
    no_problems: "No file has a problem.",
    ending: "This publisher is about to end: running streams may finish, new ones are refused.",
};

const CHINESE: Words = Words {
    status: "状态",
    language: "语言",
    out_now: "当前发往观众",
    direct_now: "当前无应用下载",
    viewers: "正在服务的观众",
    direct: "无应用观看",
    given: "累计发出",
    saved: "由观众分担",
    titles: "在架影片",
    held: "已下架",
    trackers: "跟踪服务器",
    tracker: "地址",
    state: "状态",
    leased: "已注册",
    asking: "尚未注册",
    no_tracker: "没有指定跟踪服务器，观众找不到本发布者（--tracker 地址）。",
    busiest: "热门影片",
    title: "影片",
    streams: "观众",
    complete: "完整持有",
    load: "负载",
    resting: "交给观众",
    serving: "服务中",
    nothing_given: "还没有发出任何内容。",
    networks: "网络",
    network: "网络组",
    unknown: "未知",
    hashing: "正在添加",
    file: "文件",
    progress: "进度",
    waiting: "等待中",
    all_hashed: "文件夹中的影片都已上架。",
    problems: "问题",
    reason: "原因",
    no_problems: "没有文件出现问题。",
    ending: "本发布者即将结束：正在进行的传输可以完成，新的会被拒绝。",
};

/// What goes on with one title.
struct Demand {
    name: String,
    key: String,
    streams: usize,
    limit: usize,
    given: u64,
    complete: Option<u32>,
    resting: bool,
}

fn demands(desk: &Desk) -> Vec<Demand> {
    let (snapshot, given) = (desk.library.snapshot(), desk.library.given());
    let of_title = |title: &std::sync::Arc<crate::library::Title>| {
        let of: Vec<_> = title.links().filter_map(|link| given.resources.get(&link.id)).collect();
        Demand {
            name: title.name.clone(),
            key: title.key.to_string(),
            streams: of.iter().map(|of| of.streams).sum(),
            limit: of.iter().map(|of| of.limit).max().unwrap_or(0),
            given: of.iter().map(|of| of.bytes()).sum(),
            complete: of.iter().filter_map(|of| of.complete_terminals).max(),
            resting: of.iter().any(|of| of.resting),
        }
    };
    let mut demands: Vec<_> = snapshot.titles.iter().map(of_title).collect();
    demands.retain(|demand| demand.streams > 0 || demand.given > 0);
    demands.sort_by_key(|demand| std::cmp::Reverse((demand.streams, demand.given)));
    demands.truncate(ROWS);
    demands
}

/// All of it as JSON.
pub(super) async fn as_json(desk: &Desk) -> Value {
    let (snapshot, given, load) = (desk.library.snapshot(), desk.library.given(), *desk.load.borrow());
    let direct = &desk.publication.direct;
    let held = snapshot.titles.iter().filter(|title| title.held).count();
    let trackers: Vec<Value> = desk
        .controller
        .trackers()
        .borrow()
        .iter()
        .map(|(address, state)| {
            let lease = state.lease.as_ref();
            json!({ "address": address.to_string(), "registered": lease.is_some(), "group": lease.map(|lease| lease.group.0), "trouble": state.trouble })
        })
        .collect();
    let networks: serde_json::Map<String, Value> =
        given.networks().into_iter().map(|(group, bytes)| (network(group), bytes.into())).collect();
    json!({
        "ending": desk.ending.is_cancelled(),
        "titles": snapshot.titles.len() - held,
        "held": held,
        "rates": { "viewers": load.viewers, "direct": load.direct },
        "streams": given.resources.values().map(|of| of.streams).sum::<usize>(),
        "direct": { "streams": direct.streams(), "limit": direct.most(), "bytes": direct.given(), "refused": direct.refused() },
        "given": { "bytes": given.bytes(), "saved": given.saved(), "networks": networks },
        "hashing": snapshot.hashing.iter().map(|one| json!({ "path": one.path, "done": one.done, "of": one.of })).collect::<Vec<_>>(),
        "waiting": { "files": snapshot.waiting.files, "bytes": snapshot.waiting.bytes },
        "problems": snapshot.problems.iter().map(|one| json!({ "path": one.path, "reason": one.reason })).collect::<Vec<_>>(),
        "trackers": trackers,
        "busiest": demands(desk).iter().map(|one| json!({
            "key": one.key, "name": one.name, "streams": one.streams, "limit": one.limit, "bytes": one.given,
            "complete_terminals": one.complete, "resting": one.resting,
        })).collect::<Vec<_>>(),
    })
}

/// `GET /`.
pub(super) async fn page(
    State(desk): State<Desk>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let visit = Visit::new(&headers, query.as_deref(), "", String::new());
    let words = if visit.language == Language::English { &ENGLISH } else { &CHINESE };
    let site = &desk.publication.settings.name;
    let page = html! {
        (DOCTYPE)
        html lang=(visit.language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (words.status) " · " (site) }
                link rel="icon" type="image/svg+xml" href="icon.svg";
                link rel="stylesheet" href="style.css";
                script src="status.js" defer {}
            }
            body {
                header class="top" {
                    a class="brand" href=(desk.publication.settings.public) {
                        img src="icon.svg" alt="" width="32" height="32";
                        span { (site) }
                    }
                    nav class="languages" aria-label=(words.language) {
                        @for language in Language::ALL {
                            a href={ "?lang=" (language.code()) } lang=(language.tag()) hreflang=(language.tag())
                                aria-current=[(language == visit.language).then_some("true")] { (language.own_name()) }
                        }
                    }
                }
                main id="content" {
                    div class="heading" { h1 { (words.status) } }
                    div class="status" id="live" { (live(&desk, words)) }
                }
            }
        }
    };
    answer::html(&headers, StatusCode::OK, page, visit.language, visit.chosen)
}

fn live(desk: &Desk, words: &Words) -> Markup {
    let (snapshot, given, load) = (desk.library.snapshot(), desk.library.given(), *desk.load.borrow());
    let direct = &desk.publication.direct;
    let held = snapshot.titles.iter().filter(|title| title.held).count();
    let streams: usize = given.resources.values().map(|of| of.streams).sum();
    let figure = |name: &str, value: String| html! { div { dt { (name) } dd { (value) } } };
    html! {
        @if desk.ending.is_cancelled() { p class="panel bad" role="status" { (words.ending) } }
        dl class="figures" {
            (figure(words.out_now, figures::rate(load.viewers)))
            (figure(words.viewers, streams.to_string()))
            (figure(words.direct_now, figures::rate(load.direct)))
            (figure(words.direct, format!("{} / {}", direct.streams(), direct.most())))
            (figure(words.given, figures::bytes(given.bytes().saturating_add(direct.given()))))
            (figure(words.saved, figures::bytes(given.saved())))
            (figure(words.titles, (snapshot.titles.len() - held).to_string()))
            @if held > 0 { (figure(words.held, held.to_string())) }
        }
        (trackers(desk, words))
        (busiest(desk, words))
        (networks(desk, words))
        section class="panel" tabindex="0" aria-label=(words.hashing) {
            h2 { (words.hashing) }
            @if snapshot.hashing.is_empty() && snapshot.waiting.files == 0 { p class="soft" { (words.all_hashed) } } @else {
                table {
                    thead { tr { th scope="col" { (words.file) } th scope="col" { (words.progress) } th scope="col" class="number" { "" (figures::bytes(snapshot.hashing.iter().map(|one| one.of).sum())) } } }
                    tbody {
                        @for one in &snapshot.hashing {
                            @let share = one.done.saturating_mul(100).checked_div(one.of).unwrap_or(100).min(100);
                            tr {
                                td { (one.path.display()) }
                                td { progress max="100" value=(share) aria-label=(one.path.display()) { (share) " %" } }
                                td class="number" { (figures::bytes(one.done)) " / " (figures::bytes(one.of)) }
                            }
                        }
                        @if snapshot.waiting.files > 0 {
                            tr { td { "+ " (snapshot.waiting.files) } td { (words.waiting) } td class="number" { (figures::bytes(snapshot.waiting.bytes)) } }
                        }
                    }
                }
            }
        }
        section class="panel" tabindex="0" aria-label=(words.problems) {
            h2 { (words.problems) }
            @if snapshot.problems.is_empty() { p class="soft" { (words.no_problems) } } @else {
                table {
                    thead { tr { th scope="col" { (words.file) } th scope="col" { (words.reason) } } }
                    tbody { @for one in snapshot.problems.iter().take(ROWS) { tr { td { (one.path.display()) } td { (one.reason) } } } }
                }
            }
        }
    }
}

fn trackers(desk: &Desk, words: &Words) -> Markup {
    let states = desk.controller.trackers().borrow().clone();
    html! {
        section class="panel" tabindex="0" aria-label=(words.trackers) {
            h2 { (words.trackers) }
            @if desk.controller.settings().trackers.is_empty() { p class="bad" { (words.no_tracker) } } @else {
                table {
                    thead { tr { th scope="col" { (words.tracker) } th scope="col" { (words.state) } } }
                    tbody {
                        @for (address, state) in &states {
                            tr {
                                td { (address) }
                                td {
                                    @match (&state.trouble, &state.lease) {
                                        (Some(trouble), _) => span class="bad" { (trouble) },
                                        (None, Some(_)) => span class="good" { (words.leased) },
                                        (None, None) => span class="soft" { (words.asking) },
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn busiest(desk: &Desk, words: &Words) -> Markup {
    let demands = demands(desk);
    html! {
        section class="panel" tabindex="0" aria-label=(words.busiest) {
            h2 { (words.busiest) }
            @if demands.is_empty() { p class="soft" { (words.nothing_given) } } @else {
                table {
                    thead {
                        tr {
                            th scope="col" { (words.title) }
                            th scope="col" class="number" { (words.streams) }
                            th scope="col" class="number" { (words.complete) }
                            th scope="col" class="number" { (words.given) }
                            th scope="col" { (words.load) }
                        }
                    }
                    tbody {
                        @for one in &demands {
                            tr {
                                td { (one.name) }
                                td class="number" { (one.streams) @if one.limit > 0 { " / " (one.limit) } }
                                td class="number" { @match one.complete { Some(count) => (count), None => "–" } }
                                td class="number" { (figures::bytes(one.given)) }
                                td { @if one.resting { (words.resting) } @else { (words.serving) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn networks(desk: &Desk, words: &Words) -> Markup {
    let mut networks: Vec<_> = desk.library.given().networks().into_iter().collect();
    networks.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    html! {
        @if !networks.is_empty() {
            section class="panel" tabindex="0" aria-label=(words.networks) {
                h2 { (words.networks) }
                table {
                    thead { tr { th scope="col" { (words.network) } th scope="col" class="number" { (words.given) } } }
                    tbody {
                        @for (group, bytes) in networks.iter().take(ROWS) {
                            tr {
                                td { @if *group == Group::UNKNOWN { (words.unknown) } @else { (group.0) } }
                                td class="number" { (figures::bytes(*bytes)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
