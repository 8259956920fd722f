use super::*;

const TWO: &str = r#"
    about = "Two networks."
    film = "short"
    [networks.west]
    border = "100Mbit"
    delay = "5ms"
    [networks.east]
    count = 2
    [[nodes]]
    name = "source"
    kind = "publisher"
    network = "west"
    up = "20Mbit"
    [[nodes]]
    name = "viewer"
    kind = "viewer"
    network = ["west", "east"]
    count = 2
    every = "1.5s"
    measured = true
    [[faults]]
    at = "3s"
    kill = ["viewer-2", "source"]
    cut = "east-1"
"#;

#[test]
fn a_file_is_spelt_out() {
    let scenario = Scenario::read("two", TWO).unwrap();
    let names: Vec<_> = scenario.networks.iter().map(|network| network.name.as_str()).collect();
    assert_eq!(names, ["east-1", "east-2", "west"]);
    assert_eq!(scenario.networks[2].border.delay, Duration::from_millis(5));
    let viewers: Vec<_> = scenario.viewers().map(|(_, node)| (node.name.as_str(), node.network)).collect();
    let expected = [
        ("viewer-1", 2),
        ("viewer-2", 0),
        ("viewer-3", 1),
        ("viewer-4", 2),
        ("viewer-5", 0),
        ("viewer-6", 1),
    ];
    assert_eq!(viewers, expected);
    assert_eq!(scenario.nodes[3].arrives, Duration::from_secs(3));
    assert_eq!(scenario.nodes.iter().filter(|node| node.measured).count(), 1);
    assert_eq!(scenario.faults.len(), 3);
    assert_eq!(scenario.supply(), Some(Rate(20_000_000)));
}

#[test]
fn what_makes_no_sense_is_named() {
    for (part, instead, named) in [
        ("\"short\"", "\"long\"", "long"),
        ("20Mbit", "20MB", "20MB"),
        ("network = \"west\"", "network = \"north\"", "north"),
        ("\"source\"]", "\"nobody\"]", "nobody"),
        ("cut = \"east-1\"", "restart = \"source\"", "source"),
        ("kind = \"publisher\"", "kind = \"king\"", "king"),
        ("name = \"source\"", "name = \"so/urce\"", "so/urce"),
        ("every = \"1.5s\"", "ever = \"1.5s\"", "ever"),
        ("count = 2\n    every", "count = 90000\n    every", "270000"),
    ] {
        assert!(TWO.contains(part), "{part}");
        let error = Scenario::read("two", &TWO.replace(part, instead)).unwrap_err().to_string();
        assert!(error.starts_with("the scenario two makes no sense") && error.contains(named), "{error}");
    }
}

#[test]
fn every_scenario_of_the_project_makes_sense() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        Scenario::load(&path).unwrap_or_else(|error| panic!("{error}"));
        count += 1;
    }
    assert!(count >= 10, "{count}");
}
