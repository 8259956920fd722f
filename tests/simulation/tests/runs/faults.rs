//! Whatever goes wrong, nothing is lost.

use nearcast_scenario::Scenario;
use nearcast_simulation::{Brain, Figures, run};

use crate::scenario;

/// Everyone who survives has seen all of what they wanted to see, every byte came once, and nothing came
/// from nowhere.
fn nothing_is_lost(scenario: &Scenario, figures: &Figures) {
    let (name, brain) = (&figures.scenario, figures.brain);
    assert!(!figures.viewers.is_empty());
    for viewer in &figures.viewers {
        let who = format!("{name}, {brain}: {viewer:?}");
        let written = scenario.nodes.iter().find(|node| node.name == viewer.name).unwrap();
        let verified = viewer.own_group + viewer.other_groups + viewer.publishers;
        assert!(verified <= scenario.film.size(), "{who}");
        assert_eq!(viewer.complete, verified == scenario.film.size(), "{who}");
        if !viewer.survived {
            continue;
        }
        assert!(viewer.through, "{who}");
        assert_eq!(viewer.seeks.len(), written.seeks.len(), "{who}");
        assert!(viewer.runs_ms.is_some() && viewer.seeks.iter().all(|seek| seek.runs_ms.is_some()), "{who}");
        match written.watch {
            None => assert_eq!(viewer.read_bytes, scenario.film.size(), "{who}"),
            Some(watch) => {
                let shown = watch.as_millis() as u64 * scenario.film.rate() / 1000;
                assert!(viewer.read_bytes >= shown && verified >= shown, "{who}");
                let legs = watch + written.watch_after_seek * written.seeks.len() as u32;
                assert!((viewer.played_ms - legs.as_secs_f64() * 1000.0).abs() < 50.0, "{who}");
            }
        }
    }
}

fn all_brains(name: &str) -> [Figures; 3] {
    let scenario = scenario(name);
    Brain::ALL.map(|brain| {
        let figures = run(&scenario, brain, 1);
        nothing_is_lost(&scenario, &figures);
        figures
    })
}

#[test]
fn neighbours_die_freeze_and_fall_silent() {
    let [shipped, ..] = all_brains("killed");
    assert_eq!(shipped.stalled_viewers, 0.0, "two neighbours and the publisher are enough");
}

#[test]
fn a_line_gets_slower_than_it_was() {
    let [shipped, sequential, rarest] = all_brains("slow");
    assert!(shipped.stalled_share < sequential.stalled_share.min(rarest.stalled_share));
}

#[test]
fn a_neighbour_lies() {
    for figures in all_brains("liar") {
        // It is caught at its first answer, and not asked again.
        let wasted: u64 = figures.viewers.iter().map(|viewer| viewer.wasted).sum();
        assert!(wasted > 0 && wasted < 8 << 20, "{}: {wasted} bytes", figures.brain);
    }
}

#[test]
fn the_tracker_is_started_anew() {
    for figures in all_brains("tracker-restart") {
        assert_eq!(figures.viewers.len(), 2, "the latecomer too");
    }
}

#[test]
fn a_border_is_cut_and_healed() {
    let [shipped, sequential, rarest] = all_brains("border-cut");
    assert!(shipped.stalled_share <= sequential.stalled_share.min(rarest.stalled_share));
}

#[test]
fn everyone_clicks_at_once() {
    let [shipped, sequential, rarest] = all_brains("flash");
    let (ours, theirs) = (shipped.source_copies, sequential.source_copies.min(rarest.source_copies));
    assert!(ours * 3.0 < theirs, "a group fetches a film together: {ours} to {theirs} copies");
    let (ours, theirs) = (shipped.stalled_share, sequential.stalled_share.min(rarest.stalled_share));
    assert!(ours * 3.0 < theirs, "and so pictures run: {ours} to {theirs} of the time they stood");
}

#[test]
fn translators_stand_between() {
    all_brains("nat");
}
