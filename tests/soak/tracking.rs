//! The tracker, which is killed now and then and comes back where it was.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nearcast_tests::Tracker;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// How long it lives at least and at most, in seconds. Whoever has come more than a few seconds before it dies it knows
/// again.
const LIFE: std::ops::Range<f64> = 20.0..200.0;

pub struct Tracking {
    tracker: Tracker,
    state: PathBuf,
    dice: StdRng,
    dies: Instant,
}

impl Tracking {
    pub fn start(at: &Path, seed: u64) -> Result<Self> {
        let state = at.join("tracker");
        let tracker = Tracker::start(&state, "/ip4/127.3.90.1/tcp/0")?;
        let mut dice = StdRng::seed_from_u64(seed);
        let dies = next(&mut dice);
        Ok(Self { tracker, state, dice, dies })
    }

    pub fn address(&self) -> &str {
        &self.tracker.address
    }

    /// Kills it and starts it again at the same address if its time has come.
    pub fn meet_its_fate(&mut self) -> Result<bool> {
        if Instant::now() < self.dies {
            return Ok(false);
        }
        self.tracker.program.kill()?;
        let before = self.tracker.address.clone();
        let (listen, _) = before.split_once("/p2p/").context("the tracker's address has no identity")?;
        self.tracker = Tracker::start(&self.state, listen)?;
        anyhow::ensure!(self.tracker.address == before, "the tracker came back as another");
        self.dies = next(&mut self.dice);
        Ok(true)
    }

    pub fn stop(&mut self) -> Result<()> {
        let status = self.tracker.program.stop()?;
        anyhow::ensure!(
            status.success(),
            "the tracker ended with {status}:\n{}",
            self.tracker.program.words()
        );
        Ok(())
    }
}

fn next(dice: &mut StdRng) -> Instant {
    Instant::now() + Duration::from_secs_f64(dice.random_range(LIFE))
}
