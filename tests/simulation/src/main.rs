//! nearcast-sim
fn main() -> anyhow::Result<()> {
    for arg in std::env::args().skip(1) {
        let scenario = nearcast_scenario::Scenario::load(std::path::Path::new(&arg))?;
        for brain in nearcast_simulation::Brain::ALL {
            let t = std::time::Instant::now();
            let f = nearcast_simulation::run_telling(&scenario, brain, 1, |now, w| eprintln!("{now:?} {w}"));
            let mut g = f.clone();
            g.viewers.truncate(3);
            g.networks.truncate(3);
            println!("{brain} {:?} {}", t.elapsed(), serde_json::to_string_pretty(&g)?);
        }
    }
    Ok(())
}
