//! What the tracker costs on the wire, beside others, all in one run.
//!
//! `cargo bench -p nearcast-tracker --bench wire [-- datagrams | cold | warm]`. Every server has one thread, or is one process, and its
//! rate is by the time that it had a processor (Linux): requests a second of one core, whatever else the
//! machine does. What the kernel does for a sender on loopback falls on the load. Asserts nothing.
//!
//! | Row | What it is |
//! | --- | --- |
//! | renewals by datagram | nodes renew in turn, each under its own key, and read the sealed answer |
//! | opentracker announces | UDP announces (BEP 15) of as many peers in 10,000 torrents, 1 or 50 asked for |
//! | lists, each on a new connection | dial, handshake, list of 50, by ever new identities |
//! | a handshake alone | the same without a question: libp2p's TCP, Noise and Yamux; the bound of the row above |
//! | lists on a live connection | lists of 50 on one stream, 16 questions on their way |
//! | the same, asked by a node | 16 callers of one of our nodes, which reads every list |
//! | request-response | libp2p's own, a ready answer of the same size, 16 at a time |

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod wire {
    pub mod calls;
    pub mod datagrams;
    pub mod opentracker;
    pub mod served;
}

use std::time::Duration;

/// How long each figure is measured.
const TIME: Duration = Duration::from_secs(4);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("{:<46} {:>12}  {:>10}", "requests a second of a core", "rate", "µs each");
    let chosen = |row: &str| {
        let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--")).peekable();
        words.peek().is_none() || words.any(|word| word == row)
    };
    if chosen("datagrams") {
        let ours = wire::datagrams::renewals();
        told("renewals by datagram", ours);
        for wanted in [1, 50] {
            match wire::opentracker::announces(wanted) {
                Ok(theirs) => {
                    told(&format!("opentracker announces, {wanted} asked"), theirs);
                    ratio(ours, theirs);
                }
                Err(why) => println!("opentracker announces, {wanted} asked: not measured, {why}"),
            }
        }
    }
    if chosen("cold") {
        let cold = runtime.block_on(wire::calls::cold());
        told("lists, each on a new connection", cold);
        let bound = runtime.block_on(wire::calls::handshakes());
        told("a handshake alone", bound);
        ratio(cold, bound);
    }
    if chosen("warm") {
        let ours = runtime.block_on(wire::calls::pipelined());
        told("lists on a live connection", ours);
        told("the same, asked by a node", runtime.block_on(wire::calls::warm()));
        let theirs = runtime.block_on(wire::calls::request_response());
        told("request-response, a ready answer", theirs);
        ratio(ours, theirs);
    }
}

fn ratio(ours: f64, theirs: f64) {
    println!("{:<46} {:>12.2}", "  ours to theirs", ours / theirs);
}

fn told(what: &str, rate: f64) {
    println!("{what:<46} {rate:>12.0}  {:>10.2}", 1e6 / rate);
}
