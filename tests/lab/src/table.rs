//! Figures side by side: medians with their spread, and where we are behind.

use std::fmt::Write as _;

use crate::{
    figures::{Run, Seek},
    systems::System,
};

/// One column of a table.
pub struct Column {
    /// What it says at its head.
    pub head: &'static str,
    /// In what unit.
    pub unit: &'static str,
    /// Its figure of a run.
    pub figure: fn(&Run) -> Option<f64>,
    /// Digits after the point.
    pub digits: usize,
    /// By how much two systems may differ before one counts as behind: less is what runs differ by.
    pub noise: f64,
}

fn seek(run: &Run) -> Option<&Seek> {
    run.measured.as_ref()?.seeks.first()
}

/// All columns; less is better in each.
pub const COLUMNS: [Column; 11] = [
    column("first", "ms", |run| run.measured.as_ref()?.first_picture_ms, 0, 30.0),
    column("runs", "ms", |run| run.measured.as_ref()?.runs_ms, 0, 50.0),
    column("seek first", "ms", |run| seek(run)?.picture_ms, 0, 30.0),
    column("seek runs", "ms", |run| seek(run)?.runs_ms, 0, 50.0),
    column("stalled", "ms", |run| Some(run.stalls().0), 0, 100.0),
    column("stalled viewers", "", |run| Some(run.stalls().1 as f64), 0, 0.5),
    column("copies in", "×", Run::most_copies, 2, 0.05),
    column("source gave", "×", |run| Some(run.source_copies()), 2, 0.05),
    column("wasted", "%", |run| run.wasted().map(|share| share * 100.0), 1, 1.0),
    column("viewer CPU", "s", |run| viewer(run).map(|(cpu, _)| cpu), 1, 0.3),
    column("viewer memory", "MB", |run| viewer(run).map(|(_, memory)| memory / 1e6), 0, 10.0),
];

const fn column(
    head: &'static str,
    unit: &'static str,
    figure: fn(&Run) -> Option<f64>,
    digits: usize,
    noise: f64,
) -> Column {
    Column { head, unit, figure, digits, noise }
}

/// Processor time and memory of the first viewer, decoding included where it decodes.
fn viewer(run: &Run) -> Option<(f64, f64)> {
    let node = run.nodes.iter().find(|node| node.kind == "viewer")?;
    Some((node.cpu_s, node.memory as f64))
}

/// The median of some figures and their spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The least.
    pub least: f64,
    /// Half are less, half are more.
    pub median: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of at least one figure.
    pub fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<_> = figures.filter(|figure| figure.is_finite()).collect();
        figures.sort_by(f64::total_cmp);
        let (least, most) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let upper = *figures.get(middle)?;
        let median = match figures.len() % 2 {
            0 => f64::midpoint(*figures.get(middle - 1)?, upper),
            _ => upper,
        };
        Some(Self { least, median, most })
    }
}

/// A scenario's runs by system, in the systems' order.
pub fn by_system<'a>(runs: &'a [Run], scenario: &str) -> Vec<(System, Vec<&'a Run>)> {
    let of = |system| runs.iter().filter(|run| run.scenario == scenario && run.system == system).collect();
    let all = System::ALL.into_iter().map(|system| (system, of(system)));
    all.filter(|(_, runs): &(_, Vec<&Run>)| !runs.is_empty()).collect()
}

/// The scenarios that were run, in their order.
pub fn scenarios(runs: &[Run]) -> Vec<String> {
    let mut names = Vec::new();
    for run in runs {
        if !names.contains(&run.scenario) {
            names.push(run.scenario.clone());
        }
    }
    names
}

/// The table of one scenario, for a terminal; with a sentence for everything we are behind in.
pub fn table(runs: &[Run], scenario: &str) -> String {
    let systems = by_system(runs, scenario);
    let mut rows = vec![vec![scenario.to_owned(), "runs".to_owned()]];
    let shown: Vec<_> = COLUMNS
        .iter()
        .filter(|column| {
            let some = |run: &&Run| (column.figure)(run).is_some();
            systems.iter().any(|(_, runs)| runs.iter().copied().any(|run| some(&run)))
        })
        .collect();
    if let Some(heads) = rows.first_mut() {
        heads.extend(shown.iter().map(|column| match column.unit {
            "" => column.head.to_owned(),
            unit => format!("{} {unit}", column.head),
        }));
    }
    for (system, runs) in &systems {
        let failed = runs.iter().filter(|run| failure(run).is_some()).count();
        let count =
            if failed == 0 { runs.len().to_string() } else { format!("{}, {failed} failed", runs.len()) };
        let mut row = vec![system.name().to_owned(), count];
        row.extend(shown.iter().map(|column| cell(column, runs)));
        rows.push(row);
    }
    let mut text = columns(&rows);
    for line in behind(&systems, &shown) {
        let _ = writeln!(text, "  {line}");
    }
    for run in runs.iter().filter(|run| run.scenario == scenario) {
        for border in run.without_source() {
            if let (Some(reports), Some(counters)) = (border.kept_by_reports(), border.kept_by_counters()) {
                let (name, reports, counters) = (&border.network, reports * 100.0, counters * 100.0);
                let _ = writeln!(
                    text,
                    "  kept inside {name}: {reports:.1} % by the tracker's page, {counters:.1} % by counters"
                );
            }
        }
        if let Some(why) = failure(run) {
            let _ = writeln!(text, "  a run of {} failed: {why}", run.system.name());
        }
    }
    text
}

/// What made a run a failure.
pub fn failure(run: &Run) -> Option<&str> {
    let measured = || run.measured.as_ref()?.error.as_deref();
    run.failure.as_deref().or_else(measured)
}

fn cell(column: &Column, runs: &[&Run]) -> String {
    let Some(spread) = Spread::of(runs.iter().filter_map(|run| (column.figure)(run))) else {
        return "–".into();
    };
    let digits = column.digits;
    let Spread { least, median, most } = spread;
    if runs.len() == 1 || (most - least).abs() < 0.5 * 10_f64.powi(-i32::try_from(digits).unwrap_or(0)) {
        format!("{median:.digits$}")
    } else {
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}

/// One sentence for each figure in which another system's median is better than ours.
pub fn behind(systems: &[(System, Vec<&Run>)], columns: &[&Column]) -> Vec<String> {
    let Some((_, ours)) = systems.iter().find(|(system, _)| *system == System::Nearcast) else {
        return Vec::new();
    };
    let median = |column: &Column, runs: &[&Run]| {
        Spread::of(runs.iter().filter_map(|run| (column.figure)(run))).map(|spread| spread.median)
    };
    let mut lines = Vec::new();
    for column in columns {
        let Some(our) = median(column, ours) else { continue };
        let better = systems.iter().filter(|(system, _)| *system != System::Nearcast);
        let better = better.filter_map(|(system, runs)| Some((system, median(column, runs)?)));
        let best = better.min_by(|(_, one), (_, other)| one.total_cmp(other));
        if let Some((system, best)) = best.filter(|(_, best)| best + column.noise < our) {
            let (head, unit, digits) = (column.head, column.unit, column.digits);
            lines.push(format!(
                "behind in {head}: {our:.digits$} {unit}, {} has {best:.digits$} {unit}",
                system.name()
            ));
        }
    }
    lines
}

/// Rows with their columns under one another.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<_> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "{cell:<width$}  ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle() {
        let spread = |figures: &[f64]| Spread::of(figures.iter().copied());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { least: 1.0, median: 2.0, most: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0]), Some(Spread { least: 1.0, median: 2.5, most: 4.0 }));
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[f64::NAN]), None);
    }
}
