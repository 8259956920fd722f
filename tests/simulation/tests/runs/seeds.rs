//! A seed gives the same run byte for byte.

use nearcast_simulation::{Brain, Figures, run};

use crate::scenario;

fn json(figures: &Figures) -> String {
    serde_json::to_string(figures).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let scenario = scenario("border");
    for brain in Brain::ALL {
        let first = run(&scenario, brain, 1);
        assert_eq!(json(&first), json(&run(&scenario, brain, 1)), "{brain}");
        let other = run(&scenario, brain, 2);
        assert_ne!(first.digest, other.digest, "{brain}");
        assert_eq!(serde_json::from_str::<Figures>(&json(&other)).unwrap(), other, "what is written is read");
    }
}

#[test]
fn faults_are_part_of_the_run() {
    let mut scenario = scenario("killed");
    let with = run(&scenario, Brain::Shipped, 1);
    assert_eq!(with.digest, run(&scenario, Brain::Shipped, 1).digest);
    scenario.faults.clear();
    assert_ne!(with.digest, run(&scenario, Brain::Shipped, 1).digest);
}
