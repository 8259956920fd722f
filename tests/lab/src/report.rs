//! A page with plots: every run a dot, the median a bar.

use std::fmt::Write as _;

use crate::{
    figures::Run,
    table::{COLUMNS, Column, Spread, behind, by_system, scenarios},
};

/// In pixels: a system's row, the names at its left, the plot, and the figures at its right.
const ROW: usize = 26;
const NAMES: f64 = 170.0;
const PLOT: f64 = 420.0;
const FIGURES: f64 = 170.0;

/// The page, which stands by itself.
pub fn page(runs: &[Run]) -> String {
    let mut body = String::new();
    for scenario in scenarios(runs) {
        let systems = by_system(runs, &scenario);
        let _ = write!(body, "<section><h2>{}</h2>", escape(&scenario));
        let shown: Vec<_> = COLUMNS
            .iter()
            .filter(|column| {
                systems.iter().any(|(_, runs)| runs.iter().any(|run| (column.figure)(run).is_some()))
            })
            .collect();
        let behind = behind(&systems, &shown);
        if !behind.is_empty() {
            let _ = write!(body, "<ul>");
            for line in behind {
                let _ = write!(body, "<li>{}</li>", escape(&line));
            }
            let _ = write!(body, "</ul>");
        }
        let _ = write!(body, "<div class=plots>");
        for column in shown {
            let rows: Vec<_> = systems
                .iter()
                .map(|(system, runs)| {
                    (system.name(), runs.iter().filter_map(|run| (column.figure)(run)).collect::<Vec<_>>())
                })
                .collect();
            plot(&mut body, column, &rows);
        }
        let _ = write!(body, "</div></section>");
    }
    let mut versions: Vec<_> = runs.iter().map(|run| run.version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>Nearcast: the lab</title><style>{STYLE}</style>\
         <h1>The lab</h1><p>Every run is a dot, the bar is the median; less is better everywhere. {}.</p>{body}</html>\n",
        escape(&versions.join(", "))
    )
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c1e21;--soft:#6b7076;--line:#d9dce0;--ours:#0a7d5a;--theirs:#7a8087;--ground:#fff}\
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#9aa0a6;--line:#3a3e44;--ours:#3ecf9c;--theirs:#8d939b;--ground:#16181b}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground);margin:2rem auto;max-width:1600px;padding:0 1rem}\
h1{font-size:1.6rem}h2{margin-top:2.5rem;font-size:1.2rem;border-bottom:1px solid var(--line)}\
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(560px,1fr));gap:1.2rem}\
figure{margin:0}figcaption{font-weight:600}svg{width:100%;height:auto}text{fill:var(--ink);font-size:12px}\
.soft{fill:var(--soft)}.axis{stroke:var(--line)}.ours{fill:var(--ours)}.theirs{fill:var(--theirs)}ul{color:var(--soft)}";

fn plot(out: &mut String, column: &Column, rows: &[(&str, Vec<f64>)]) {
    let most = rows.iter().flat_map(|(_, figures)| figures).copied().fold(0.0, f64::max).max(1e-9);
    let (width, height) = (NAMES + PLOT + FIGURES, rows.len() * ROW + 8);
    let unit = if column.unit.is_empty() { String::new() } else { format!(", {}", column.unit) };
    let _ = write!(
        out,
        "<figure><figcaption>{}{unit}</figcaption><svg viewBox='0 0 {width} {height}' role=img>",
        column.head
    );
    let _ = write!(out, "<line class=axis x1={NAMES} x2={NAMES} y1=0 y2={height} />");
    let x = |figure: f64| NAMES + figure / most * PLOT;
    for (index, (name, figures)) in rows.iter().enumerate() {
        let y = index * ROW + ROW / 2 + 4;
        let class = if *name == "nearcast" { "ours" } else { "theirs" };
        let _ = write!(out, "<text x={} y={} text-anchor=end>{}</text>", NAMES - 8.0, y + 4, escape(name));
        let Some(spread) = Spread::of(figures.iter().copied()) else {
            let _ = write!(out, "<text class=soft x={} y={}>doesn’t tell</text>", NAMES + 8.0, y + 4);
            continue;
        };
        for figure in figures {
            let _ = write!(out, "<circle class={class} cx={:.1} cy={y} r=4 fill-opacity=.45 />", x(*figure));
        }
        let digits = column.digits;
        let Spread { least, median, most } = spread;
        let _ = write!(
            out,
            "<rect class={class} x={:.1} y={} width=3 height=18 />\
             <text x={} y={}>{median:.digits$} <tspan class=soft>({least:.digits$}–{most:.digits$})</tspan></text>",
            x(median) - 1.5,
            y - 9,
            NAMES + PLOT + 14.0,
            y + 4,
        );
    }
    let _ = write!(out, "</svg></figure>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
