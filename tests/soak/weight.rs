//! What the nodes that live from beginning to end take of memory, descriptors and threads.

use std::{fmt::Write as _, fs};

use anyhow::{Context, Result, ensure};

const MB: u64 = 1_000_000;

/// Of one process at one moment.
#[derive(Clone, Copy, Default)]
struct Weight {
    /// Anonymous memory, in bytes.
    memory: u64,
    descriptors: u64,
    threads: u64,
}

struct Node {
    name: String,
    pid: u32,
    weights: Vec<Weight>,
}

/// All that were weighed.
#[derive(Default)]
pub struct Weights {
    nodes: Vec<Node>,
}

impl Weights {
    pub fn add(&mut self, name: String, pid: u32) {
        self.nodes.push(Node { name, pid, weights: Vec::new() });
    }

    pub fn weigh(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            let weight = weigh(node.pid).with_context(|| format!("{} is gone", node.name))?;
            node.weights.push(weight);
        }
        Ok(())
    }

    /// The heaviest at this moment, in a line.
    pub fn now(&self) -> String {
        let last = || self.nodes.iter().filter_map(|node| node.weights.last());
        let most = |what: fn(&Weight) -> u64| last().map(what).max().unwrap_or_default();
        format!(
            "at most {:.1} MB, {} descriptors, {} threads",
            most(|weight| weight.memory) as f64 / MB as f64,
            most(|weight| weight.descriptors),
            most(|weight| weight.threads)
        )
    }

    /// The second and the last quarter of the time, node by node.
    pub fn table(&self) -> String {
        let mut table =
            format!("{:<12} {:>16} {:>14} {:>12}", "middle", "MB 2nd → last", "descriptors", "threads");
        for node in &self.nodes {
            let (early, late) = node.quarters();
            let mb = |weight: Weight| weight.memory as f64 / MB as f64;
            // A `String` takes every write.
            write!(
                table,
                "\n{:<12} {:>7.1} → {:>6.1} {:>6} → {:>5} {:>5} → {:>4}",
                node.name,
                mb(early),
                mb(late),
                early.descriptors,
                late.descriptors,
                early.threads,
                late.threads
            )
            .ok();
        }
        table
    }

    /// # Errors
    /// When something was ever too much, or, of a long run, has grown from its second to its last quarter.
    pub fn judge(&self, long: bool) -> Result<()> {
        for node in &self.nodes {
            let heaviest = node.weights.iter().map(|weight| weight.memory).max().unwrap_or_default();
            ensure!(heaviest <= 60 * MB, "{} took {} MB", node.name, heaviest / MB);
            let (early, late) = node.quarters();
            let grown = late.memory > early.memory + early.memory / 4 + 4 * MB
                || late.descriptors > early.descriptors + 16
                // Threads for blocking calls come with load, and go ten seconds later.
                || late.threads > early.threads + 16;
            ensure!(!(long && grown), "{} has grown", node.name);
        }
        Ok(())
    }
}

impl Node {
    /// The middle of the second and of the last quarter of the time, each figure by itself.
    fn quarters(&self) -> (Weight, Weight) {
        let quarter = self.weights.len() / 4;
        let of = |part: &[Weight]| Weight {
            memory: middle(part.iter().map(|weight| weight.memory).collect()),
            descriptors: middle(part.iter().map(|weight| weight.descriptors).collect()),
            threads: middle(part.iter().map(|weight| weight.threads).collect()),
        };
        let part = |from: usize| self.weights.get(from..from + quarter).unwrap_or_default();
        (of(part(quarter)), of(part(self.weights.len() - quarter)))
    }
}

fn middle(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn weigh(pid: u32) -> Result<Weight> {
    let process = format!("/proc/{pid}");
    let rollup = fs::read_to_string(format!("{process}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).context("no such line")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    let many =
        |folder: &str| Ok::<_, std::io::Error>(fs::read_dir(format!("{process}/{folder}"))?.count() as u64);
    Ok(Weight { memory: 1024 * kib, descriptors: many("fd")?, threads: many("task")? })
}
