//! The figures of one scenario's runs, side by side.

use std::{
    fmt::{Arguments, Write},
    time::Duration,
};

use nearcast_simulation::{Brain, Figures};

/// One line of the table.
struct Row {
    name: &'static str,
    /// Less is better.
    value: fn(&Figures) -> Option<f64>,
    unit: Unit,
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Ms,
    Share,
    Films,
}

const ROWS: [Row; 14] = [
    Row { name: "click to picture, median", value: |f| f.start.median_ms, unit: Unit::Ms },
    Row { name: "click to picture, 95 %", value: |f| f.start.p95_ms, unit: Unit::Ms },
    Row { name: "click until it runs, median", value: |f| f.runs.median_ms, unit: Unit::Ms },
    Row { name: "click until it runs, 95 %", value: |f| f.runs.p95_ms, unit: Unit::Ms },
    Row { name: "seek to picture, median", value: |f| f.seek.median_ms, unit: Unit::Ms },
    Row { name: "seek until it runs, median", value: |f| f.seek_runs.median_ms, unit: Unit::Ms },
    Row { name: "viewers who aren't through", value: |f| Some(1.0 - f.through_share), unit: Unit::Share },
    Row { name: "viewers whose picture stood", value: |f| Some(f.stalled_viewers), unit: Unit::Share },
    Row { name: "time that pictures stood", value: |f| Some(f.stalled_share), unit: Unit::Share },
    Row { name: "copies into a network, mean", value: |f| copies(f, f.copies_mean), unit: Unit::Films },
    Row { name: "copies into a network, most", value: |f| copies(f, f.copies_most), unit: Unit::Films },
    Row { name: "copies from the sources", value: |f| Some(f.source_copies), unit: Unit::Films },
    Row { name: "not from the own network", value: |f| Some(1.0 - f.own_group_share), unit: Unit::Share },
    Row { name: "received in vain", value: |f| Some(f.duplicates_share), unit: Unit::Share },
];

/// Without a network that has no source there is nothing to count.
fn copies(figures: &Figures, copies: f64) -> Option<f64> {
    figures.networks.iter().any(|network| !network.has_source).then_some(copies)
}

/// The table, and a line for each figure in which the shipped scheduler is behind.
pub fn of(runs: &[(Figures, Duration)]) -> String {
    let mut text = format!("{:30}", "");
    for (figures, _) in runs {
        push(&mut text, format_args!("{:>12}", figures.brain));
    }
    text.push('\n');
    for row in &ROWS {
        let values: Vec<_> = runs.iter().map(|(figures, _)| (row.value)(figures)).collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        push(&mut text, format_args!("{:30}", row.name));
        for value in values {
            push(&mut text, format_args!("{:>12}", value.map_or("-".into(), |value| row.unit.write(value))));
        }
        text.push('\n');
    }
    push(&mut text, format_args!("{:30}", "wall time"));
    for (_, wall) in runs {
        push(&mut text, format_args!("{:>12}", format!("{:.1} s", wall.as_secs_f64())));
    }
    text.push('\n');
    behind(runs, &mut text);
    text
}

fn behind(runs: &[(Figures, Duration)], text: &mut String) {
    let Some((shipped, _)) = runs.iter().find(|(figures, _)| figures.brain == Brain::Shipped) else { return };
    for row in &ROWS {
        let Some(ours) = (row.value)(shipped) else { continue };
        for (other, _) in runs.iter().filter(|(figures, _)| figures.brain != Brain::Shipped) {
            let Some(theirs) = (row.value)(other).filter(|theirs| ours > theirs + row.unit.grain()) else {
                continue;
            };
            let (name, brain) = (row.name, other.brain);
            let (ours, theirs) = (row.unit.write(ours), row.unit.write(theirs));
            push(text, format_args!("behind {brain}: {name}, {ours} to {theirs}\n"));
        }
    }
}

impl Unit {
    fn write(self, value: f64) -> String {
        match self {
            Self::Ms => format!("{value:.0} ms"),
            Self::Share => format!("{:.2} %", value * 100.0),
            Self::Films => format!("{value:.2}"),
        }
    }

    /// What can't be told apart in the table.
    fn grain(self) -> f64 {
        match self {
            Self::Ms => 1.0,
            Self::Share => 0.0001,
            Self::Films => 0.01,
        }
    }
}

/// Writing to a string can't fail.
fn push(text: &mut String, part: Arguments<'_>) {
    text.write_fmt(part).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_shipped_one_is_behind_a_line_says_so() {
        let of_brain = |brain, source_copies| {
            let figures = Figures { brain, source_copies, through_share: 1.0, ..Figures::default() };
            (figures, Duration::from_secs(2))
        };
        let text = of(&[of_brain(Brain::Shipped, 3.0), of_brain(Brain::Sequential, 2.5)]);
        assert!(text.contains("behind sequential: copies from the sources, 3.00 to 2.50"), "{text}");
        assert_eq!(text.matches("behind").count(), 1, "{text}");
        assert!(!text.contains("seek"), "what nobody did isn't shown: {text}");
    }
}
