//! What framing costs: data frames written and read, as a share of the time it takes to copy their payload.
//!
//! Prints one JSON line; asserts nothing about seconds.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use nearcast_protocol::pieces::{Data, Frame, MAX_FRAGMENT};

const ROUNDS: usize = 9;
const PAYLOAD: usize = 128 * 1024 * 1024;

fn main() {
    let payloads = vec![Bytes::from(vec![0x5a; MAX_FRAGMENT]); PAYLOAD / MAX_FRAGMENT];
    let data =
        |(n, payload): (usize, &Bytes)| Data { id: n as u32, last: n % 32 == 31, payload: payload.clone() };
    let frames: Vec<Frame> = payloads.iter().enumerate().map(data).map(Frame::Data).collect();
    let mut wire = BytesMut::with_capacity(PAYLOAD + 16 * frames.len());

    let (mut copy, mut write, mut read) = (Vec::new(), Vec::new(), Vec::new());
    // The first round pays for fresh pages.
    for round in 0..=ROUNDS {
        if round == 1 {
            [&mut copy, &mut write, &mut read].into_iter().for_each(Vec::clear);
        }
        wire.clear();
        copy.push(time(|| payloads.iter().for_each(|payload| wire.extend_from_slice(payload))));
        wire.clear();
        write.push(time(|| frames.iter().for_each(|frame| frame.encode(&mut wire))));
        // As a stream gives them: a frame at a time from a buffer of its own.
        let mut arrived = BytesMut::from(&wire[..]);
        read.push(time(|| {
            while let Ok(Some(frame)) = Frame::decode(&mut arrived) {
                black_box(frame);
            }
        }));
    }
    let copy = Spread::of(copy);
    println!(
        "{{\"bench\":\"frames\",\"copy_mb_s\":{:.0},\"write_to_copy\":{},\"read_to_copy\":{}}}",
        PAYLOAD as f64 / 1e6 / copy.median,
        Spread::of(write).over(copy.median),
        Spread::of(read).over(copy.median),
    );
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Seconds: the median, and the least and the most.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        let seconds = |place: usize| times[place].as_secs_f64();
        Self { median: seconds(times.len() / 2), least: seconds(0), most: seconds(times.len() - 1) }
    }

    fn over(&self, other: f64) -> String {
        let Self { median, least, most } = self;
        format!("[{:.3},{:.3},{:.3}]", least / other, median / other, most / other)
    }
}
