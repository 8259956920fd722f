//! What a run comes to, in numbers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::brain::Brain;

/// A run's figures. The same scenario, brain and seed give the same, to the last letter of their JSON.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// The scenario's name.
    pub scenario: String,
    /// Who decided.
    pub brain: Brain,
    /// The seed.
    pub seed: u64,
    /// How long the run took, in virtual seconds.
    pub seconds: f64,
    /// How many things happened.
    pub happened: u64,
    /// A digest of all that happened, in order.
    pub digest: String,
    /// From the click to the first picture, over the viewers who saw one.
    pub start: Quantiles,
    /// From the click until the clock ran.
    pub runs: Quantiles,
    /// From a seek to its first picture.
    pub seek: Quantiles,
    /// From a seek until the clock ran.
    pub seek_runs: Quantiles,
    /// Viewers who saw all they wanted to see, of those who weren't killed.
    pub through_share: f64,
    /// Viewers whose picture stood at least once, of all.
    pub stalled_viewers: f64,
    /// How long pictures stood, of the time that they should have run.
    pub stalled_share: f64,
    /// How many times the film came over a border, on average over networks without a source.
    pub copies_mean: f64,
    /// And at most.
    pub copies_most: f64,
    /// What publishers and holders sent, in films.
    pub source_copies: f64,
    /// Of what was verified, the share from terminals of the own network.
    pub own_group_share: f64,
    /// Of what came, the share that was of no use.
    pub duplicates_share: f64,
    /// The networks.
    pub networks: Vec<NetworkFigures>,
    /// The viewers who clicked.
    pub viewers: Vec<ViewerFigures>,
}

/// The middle and the slow end.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half of them took no longer, ms.
    pub median_ms: Option<f64>,
    /// Nineteen of twenty took no longer, ms.
    pub p95_ms: Option<f64>,
}

/// One network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkFigures {
    /// Its name.
    pub name: String,
    /// Whether somebody in it had the film at the beginning.
    pub has_source: bool,
    /// Film bytes that came in over its border, in films.
    pub copies_in: f64,
    /// Film bytes that went out.
    pub copies_out: f64,
}

/// One viewer. Times in ms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewerFigures {
    /// Who.
    pub name: String,
    /// Where.
    pub network: String,
    /// Whether its program was not killed.
    pub survived: bool,
    /// Whether it saw all it wanted to see.
    pub through: bool,
    /// From the click to the first picture.
    pub start_ms: Option<f64>,
    /// From the click until the clock ran.
    pub runs_ms: Option<f64>,
    /// How often the picture stood after that.
    pub stalls: u32,
    /// For how long.
    pub stalled_ms: f64,
    /// How long it ran.
    pub played_ms: f64,
    /// Each seek.
    pub seeks: Vec<Seek>,
    /// How many bytes its player read.
    pub read_bytes: u64,
    /// Whether it holds all of the film.
    pub complete: bool,
    /// Verified bytes from terminals of the own network.
    pub own_group: u64,
    /// From terminals of other networks.
    pub other_groups: u64,
    /// From publishers anywhere.
    pub publishers: u64,
    /// Bytes that came and were of no use.
    pub wasted: u64,
}

/// One seek. Times in ms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Seek {
    /// To the first picture.
    pub picture_ms: Option<f64>,
    /// Until the clock ran.
    pub runs_ms: Option<f64>,
}

impl Figures {
    /// Adds what the viewers come to together.
    pub(crate) fn of(run: Self, viewers: Vec<ViewerFigures>) -> Self {
        let count = viewers.len() as f64;
        let survivors = viewers.iter().filter(|viewer| viewer.survived).count() as f64;
        let through = viewers.iter().filter(|viewer| viewer.survived && viewer.through).count() as f64;
        let stalled = viewers.iter().filter(|viewer| viewer.stalls > 0).count() as f64;
        let stood: f64 = viewers.iter().map(|viewer| viewer.stalled_ms).sum();
        let ran: f64 = viewers.iter().map(|viewer| viewer.played_ms).sum();
        let seeks = || viewers.iter().flat_map(|viewer| &viewer.seeks);
        let copies = || run.networks.iter().filter(|network| !network.has_source).map(|n| n.copies_in);
        Self {
            start: Quantiles::of(viewers.iter().filter_map(|viewer| viewer.start_ms)),
            runs: Quantiles::of(viewers.iter().filter_map(|viewer| viewer.runs_ms)),
            seek: Quantiles::of(seeks().filter_map(|seek| seek.picture_ms)),
            seek_runs: Quantiles::of(seeks().filter_map(|seek| seek.runs_ms)),
            through_share: share(through, survivors),
            stalled_viewers: share(stalled, count),
            stalled_share: share(stood, stood + ran),
            copies_mean: share(copies().sum(), copies().count() as f64),
            copies_most: copies().fold(0.0, f64::max),
            viewers,
            ..run
        }
    }
}

impl Quantiles {
    fn of(times: impl Iterator<Item = f64>) -> Self {
        let mut times: Vec<_> = times.collect();
        times.sort_by(f64::total_cmp);
        let last = times.len().saturating_sub(1) as f64;
        let at = |quantile: f64| times.get((last * quantile).round() as usize).copied();
        Self { median_ms: at(0.5), p95_ms: at(0.95) }
    }
}

/// Milliseconds, to the microsecond.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

/// A part of a whole, to four places; 0 of nothing.
pub(crate) fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole * 1e4).round() / 1e4 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_members() {
        assert_eq!(Quantiles::of(std::iter::empty()), Quantiles::default());
        let quantiles = Quantiles::of((1..=101).rev().map(f64::from));
        assert_eq!(quantiles, Quantiles { median_ms: Some(51.0), p95_ms: Some(96.0) });
    }
}
