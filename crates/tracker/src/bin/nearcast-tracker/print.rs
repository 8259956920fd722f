//! What goes to the standard output, and how an error becomes a sentence.

use std::{fmt::Display, io::Write as _, net::IpAddr};

use anyhow::{Context, ensure};

use crate::settings::Settings;

/// Prints lines, at once: scripts wait for them.
pub fn lines<T: Display>(lines: impl IntoIterator<Item = T>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let written = lines.into_iter().try_for_each(|line| writeln!(out, "{line}"));
    written.and_then(|()| out.flush()).context("nothing can be printed")
}

/// Prints the groups of addresses.
pub fn groups(settings: &Settings, addresses: &[IpAddr]) -> anyhow::Result<()> {
    ensure!(!settings.groups.is_empty(), "there is no group table to look into; name one with --groups FILE");
    let table = settings.table()?;
    lines(addresses.iter().map(|address| {
        let group = table.group_of(*address);
        let name = table.name_of(group).map(|name| format!(" ({name})")).unwrap_or_default();
        format!("{address}: group {group}{name}")
    }))
}

/// An error and its causes, each once: some of them tell their cause already.
pub fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if sentence.is_empty() {
            sentence = cause;
        } else if !sentence.contains(&cause) {
            sentence += &format!(": {cause}");
        }
    }
    sentence.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("no such file").context("table.csv: no such file").context("no start");
        assert_eq!(sentence(&error), "no start: table.csv: no such file");
    }
}
