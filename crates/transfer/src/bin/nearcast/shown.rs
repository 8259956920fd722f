//! Progress on the terminal: a bar for a person, a line now and then for a log.

use std::{
    io::IsTerminal,
    sync::Mutex,
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use nearcast_protocol::tracker::Received;
use nearcast_transfer::Progress;

const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how far something is, on standard error.
pub struct Shown {
    bar: ProgressBar,
    name: String,
    lines: Option<Mutex<Instant>>,
}

impl Shown {
    pub fn new(name: &str, size: u64) -> Self {
        let person = std::io::stderr().is_terminal();
        let target =
            if person { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(size), target);
        let style = "{prefix} {bar:30} {percent:>3} %  {bytes} of {total_bytes}  {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_prefix(shortened(name));
        let lines = (!person).then(|| Mutex::new(Instant::now()));
        Self { bar, name: name.to_owned(), lines }
    }

    pub fn transfer(&self, progress: &Progress) {
        let mut said = format!("{}/s  {}", HumanBytes(progress.rate), came_from(progress.received));
        let why = progress.waiting.map(|wait| wait.to_string());
        let why = why.or_else(|| progress.trouble.as_ref().map(ToString::to_string));
        if let Some(why) = why {
            said = format!("{said}  {why}");
        }
        self.show(progress.held_bytes, &said);
    }

    pub fn show(&self, done: u64, said: &str) {
        self.bar.set_position(done);
        self.bar.set_message(said.to_owned());
        let Some(last) = &self.lines else { return };
        if let Ok(mut last) = last.lock()
            && last.elapsed() >= LINE_EVERY
        {
            *last = Instant::now();
            let size = self.bar.length().unwrap_or_default();
            let percent = done.saturating_mul(100).checked_div(size).unwrap_or(100);
            eprintln!("{}: {percent} % of {}  {said}", self.name, HumanBytes(size));
        }
    }

    pub fn done(&self) {
        self.bar.finish_and_clear();
    }
}

/// "own network 81 %, other networks 12 %, publisher 7 %"
pub fn came_from(received: Received) -> String {
    let all = received.all();
    if all == 0 {
        return String::new();
    }
    let parts = [
        ("own network", received.own_group),
        ("other networks", received.other_groups),
        ("publisher", received.publishers),
    ];
    let parts = parts.iter().filter(|(_, bytes)| *bytes > 0);
    let parts = parts.map(|(name, bytes)| format!("{name} {} %", (bytes * 100 + all / 2) / all));
    parts.collect::<Vec<_>>().join(", ")
}

fn shortened(name: &str) -> String {
    const SHOWN: usize = 24;
    let mut short: String = name.chars().take(SHOWN).collect();
    if name.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}
