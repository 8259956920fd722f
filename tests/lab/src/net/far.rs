//! A line that takes its time: what the kernel has no part for, packets late and packets lost.
//!
//! Two TUN devices stand for the line's ends. What one end sends is read here, kept for its delay, and
//! written at the other end, in order. The kernel's own shaper at each end gives the rate.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nearcast_scenario::Line;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tun_rs::{DeviceBuilder, InterruptEvent, SyncDevice};

use super::space::Space;

/// More than any scenario's rate times delay; what comes on top is lost, as in a full buffer.
const MOST_PACKETS: usize = 20_000;
const MTU: usize = 1500;

/// The forwarder of one line, both ways, until it is dropped.
pub struct Far {
    ended: Arc<AtomicBool>,
    interrupts: Vec<Arc<InterruptEvent>>,
    ways: Vec<Arc<Way>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Way {
    waiting: Mutex<VecDeque<(Instant, Vec<u8>)>>,
    arrived: Condvar,
}

impl Far {
    /// Makes the device `names[0]` in `ends[0]` and `names[1]` in `ends[1]`, and joins them.
    ///
    /// # Errors
    /// When a device can't be made.
    pub fn join(ends: [&Space; 2], names: [&str; 2], line: &Line, seed: u64) -> Result<Self> {
        let device = |end: &Space, name: &str| {
            let name = name.to_owned();
            let made =
                end.within(move || Ok(DeviceBuilder::new().name(name).mtu(MTU as u16).build_sync()?));
            made.context("a TUN device can't be made; is /dev/net/tun there?").map(Arc::new)
        };
        let [a, b] = [device(ends[0], names[0])?, device(ends[1], names[1])?];
        let ended = Arc::new(AtomicBool::new(false));
        let (mut ways, mut threads, mut interrupts) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (from, to)) in [(Arc::clone(&a), Arc::clone(&b)), (b, a)].into_iter().enumerate() {
            let way = Arc::new(Way::default());
            let dice = StdRng::seed_from_u64(seed.wrapping_mul(2).wrapping_add(number as u64));
            let (line, taking, giving) = (*line, Arc::clone(&way), Arc::clone(&way));
            let stopped = Arc::clone(&ended);
            let interrupt = Arc::new(InterruptEvent::new()?);
            interrupts.push(Arc::clone(&interrupt));
            threads.push(
                std::thread::Builder::new()
                    .name("far-take".into())
                    .spawn(move || take(&from, &interrupt, &taking, line, dice))?,
            );
            threads.push(
                std::thread::Builder::new()
                    .name("far-give".into())
                    .spawn(move || give(&to, &giving, &stopped))?,
            );
            ways.push(way);
        }
        Ok(Self { ended, interrupts, ways, threads })
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.ways.iter().for_each(|way| way.arrived.notify_all());
        // One that can't be interrupted would be waited for in vain.
        if !self.interrupts.iter().all(|interrupt| interrupt.trigger().is_ok()) {
            return;
        }
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

fn take(from: &SyncDevice, interrupt: &InterruptEvent, way: &Way, line: Line, mut dice: StdRng) {
    let mut packet = vec![0; MTU + 100];
    let mut last = Instant::now();
    while let Ok(length) = from.recv_intr(&mut packet, interrupt) {
        if line.loss > 0.0 && dice.random_bool(line.loss.clamp(0.0, 1.0)) {
            continue;
        }
        let late = line.jitter.mul_f64(dice.random_range(0.0..=1.0));
        last = last.max(Instant::now() + line.delay + late);
        let mut waiting = way.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MOST_PACKETS {
            waiting.push_back((last, packet[..length].to_vec()));
            way.arrived.notify_one();
        }
    }
}

fn give(to: &SyncDevice, way: &Way, ended: &AtomicBool) {
    let mut waiting = way.waiting.lock().unwrap_or_else(PoisonError::into_inner);
    while !ended.load(Ordering::Acquire) {
        let due = waiting.front().map(|(due, _)| due.saturating_duration_since(Instant::now()));
        waiting = match due {
            Some(Duration::ZERO) => {
                let packet = waiting.pop_front();
                drop(waiting);
                if let Some((_, packet)) = packet {
                    // A device that is down loses its packets, as a cable does.
                    to.send(&packet).ok();
                }
                way.waiting.lock().unwrap_or_else(PoisonError::into_inner)
            }
            Some(early) => way.arrived.wait_timeout(waiting, early).unwrap_or_else(PoisonError::into_inner).0,
            None => way.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner),
        };
    }
}
