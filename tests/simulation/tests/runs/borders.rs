//! What crosses a border, and what a source has to give.

use nearcast_simulation::{Brain, run};

use crate::scenario;

#[test]
fn fewer_copies_cross_a_border_than_with_either_baseline() {
    let scenario = scenario("border");
    for seed in 1..4 {
        let [shipped, sequential, rarest] = Brain::ALL.map(|brain| run(&scenario, brain, seed));
        assert!(shipped.copies_mean >= 1.0, "somebody has to bring the film in");
        // The design's own bounds.
        assert!(shipped.copies_mean <= 1.1, "seed {seed}: {} copies in", shipped.copies_mean);
        assert!(shipped.source_copies <= 2.2, "seed {seed}: {} copies out", shipped.source_copies);
        for baseline in [sequential, rarest] {
            let (ours, theirs) = (shipped.copies_mean, baseline.copies_mean);
            assert!(ours * 3.0 < theirs, "{}: {ours} to {theirs} copies", baseline.brain);
            let (ours, theirs) = (shipped.source_copies, baseline.source_copies);
            assert!(ours < theirs, "{}: {ours} to {theirs} from the source", baseline.brain);
            assert!(shipped.own_group_share > baseline.own_group_share);
        }
    }
}

#[test]
fn a_town_of_several_networks_feeds_itself() {
    let mut scenario = scenario("thousand");
    // The first eighty of the thousand.
    let mut viewers = 0;
    scenario.nodes.retain(|node| {
        viewers += usize::from(node.name.starts_with("viewer"));
        viewers <= 80
    });
    let figures = run(&scenario, Brain::Shipped, 1);
    assert_eq!((figures.viewers.len(), figures.through_share), (80, 1.0));
    assert!(figures.source_copies < 10.0, "{} copies for eighty viewers", figures.source_copies);
    assert!(figures.viewers.iter().all(|viewer| viewer.complete));
}

#[test]
fn what_goes_out_somewhere_comes_in_elsewhere() {
    for brain in Brain::ALL {
        let figures = run(&scenario("border"), brain, 3);
        let out: f64 = figures.networks.iter().map(|network| network.copies_out).sum();
        let into: f64 = figures.networks.iter().map(|network| network.copies_in).sum();
        assert!(into <= out && out - into < 0.1, "{brain}: {out} out, {into} in");
    }
}
