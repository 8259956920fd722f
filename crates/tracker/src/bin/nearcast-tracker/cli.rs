//! What can be typed, and what the configuration file may say.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use nearcast_protocol::Multiaddr;
use nearcast_tracker::{Rules, TopUp};
use serde::Deserialize;

/// Tell viewers who holds a film, neighbours on their own network first.
///
/// A viewer's network is found by its address in a group table: an ISP, a campus, an office. With 40 to 50
/// holders in it, a viewer is sent to exactly those; with more, to a random 50; with fewer, the list is
/// filled up from other networks.
#[derive(Debug, Parser)]
#[command(name = "nearcast-tracker", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub options: Options,
    /// Print a commented configuration file with all defaults, and end.
    #[arg(long)]
    pub print_config: bool,
    /// Say everything that happens; RUST_LOG works too.
    #[arg(short, long)]
    pub verbose: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  nearcast-tracker --groups networks.csv
  nearcast-tracker --config /etc/nearcast/tracker.toml
  nearcast-tracker --groups networks.csv group 203.0.113.9     which network is this address of?

A group table has a line for each prefix: prefix,group[,name[,region]]
  203.0.113.0/24,7,North campus,north
  2001:db8::/32,7
SIGHUP reads it anew.";

/// What `--print-config` prints: every setting with its default and what it is for.
pub const PRINTED: &str = include_str!("tracker.toml");

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the network group of addresses.
    Group {
        /// The addresses.
        #[arg(required = true, value_name = "ADDRESS")]
        addresses: Vec<IpAddr>,
    },
}

#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Where to listen; may repeat [default: port 4401, TCP and QUIC, on all addresses].
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<Multiaddr>,
    /// The group table, a CSV file.
    #[arg(long, value_name = "FILE")]
    pub groups: Option<PathBuf>,
    /// Where the identity is kept [default: the data folder].
    #[arg(long, value_name = "FOLDER", env = "STATE_DIRECTORY")]
    pub state: Option<PathBuf>,
    /// Fewer holders than this in the asker's network: fill up from outside [default: 40].
    #[arg(long, value_name = "NUMBER")]
    pub low: Option<usize>,
    /// The longest list [default: 50].
    #[arg(long, value_name = "NUMBER")]
    pub high: Option<usize>,
    /// Which outsiders fill a list up: nearest, best, random or mixed [default: mixed].
    #[arg(long, value_name = "WAY")]
    pub top_up: Option<TopUp>,
    /// How long a silent node is remembered, in seconds [default: 600].
    #[arg(long, value_name = "SECONDS")]
    pub lease: Option<u64>,
    /// How many nodes are remembered [default: 1000000].
    #[arg(long, value_name = "NUMBER")]
    pub nodes: Option<usize>,
    /// How many connections may be open at once [default: 4096].
    #[arg(long, value_name = "NUMBER")]
    pub connections: Option<u32>,
}

impl Options {
    /// The options with what the configuration file adds; flags win.
    pub fn with_config(self) -> anyhow::Result<Self> {
        let Some(path) = self.config.clone() else { return Ok(self) };
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("can't read the settings in {}", path.display()))?;
        let file: Self =
            toml::from_str(&text).with_context(|| format!("the settings in {} are wrong", path.display()))?;
        Ok(Self {
            config: self.config,
            listen: if self.listen.is_empty() { file.listen } else { self.listen },
            groups: self.groups.or(file.groups),
            state: self.state.or(file.state),
            low: self.low.or(file.low),
            high: self.high.or(file.high),
            top_up: self.top_up.or(file.top_up),
            lease: self.lease.or(file.lease),
            nodes: self.nodes.or(file.nodes),
            connections: self.connections.or(file.connections),
        })
    }

    pub fn rules(&self) -> anyhow::Result<Rules> {
        let default = Rules::default();
        let rules = Rules {
            low: self.low.unwrap_or(default.low),
            high: self.high.unwrap_or(default.high),
            top_up: self.top_up.unwrap_or(default.top_up),
            lease: self.lease.map_or(default.lease, Duration::from_secs),
            nodes: self.nodes.unwrap_or(default.nodes),
        };
        Ok(rules.checked()?)
    }

    pub fn listening(&self) -> anyhow::Result<Vec<Multiaddr>> {
        if !self.listen.is_empty() {
            return Ok(self.listen.clone());
        }
        let all = ["/ip4/0.0.0.0/tcp/4401", "/ip4/0.0.0.0/udp/4401/quic-v1", "/ip6/::/tcp/4401", "/ip6/::/udp/4401/quic-v1"];
        all.iter().map(|address| Ok(address.parse()?)).collect()
    }

    pub fn connections(&self) -> u32 {
        self.connections.unwrap_or(4096)
    }

    pub fn state_folder(&self) -> anyhow::Result<PathBuf> {
        if let Some(state) = &self.state {
            return Ok(state.clone());
        }
        let folders = directories::ProjectDirs::from("", "", "nearcast-tracker");
        let folders = folders.context("no home folder is known; name a folder with --state")?;
        Ok(folders.data_dir().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_printed_configuration_is_the_default() {
        let uncommented: String = PRINTED
            .lines()
            .filter_map(|line| line.strip_prefix("#:"))
            .map(|line| format!("{line}\n"))
            .collect();
        let printed: Options = toml::from_str(&uncommented).unwrap();
        assert_eq!(printed.rules().unwrap(), Rules::default());
        assert_eq!(printed.listening().unwrap(), Options::default().listening().unwrap());
        assert_eq!(printed.connections(), Options::default().connections());
        toml::from_str::<Options>(PRINTED).unwrap();
    }
}
