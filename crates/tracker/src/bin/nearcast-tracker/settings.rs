//! What can be set, by flag or in a settings file. The comment of a field is its help and its comment in the
//! file that `--print-config` prints.

mod file;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use multiaddr::Protocol;
use nearcast_protocol::Multiaddr;
use nearcast_tracker::{Access, BridgePolicy, GroupTable, Limits, Rules, TopUp};
use serde::{Deserialize, Deserializer, Serialize};

pub use file::commented;

const MB: u64 = 1_000_000;

#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The settings file; a flag overrules it.
    #[arg(long, value_name = "FILE", global = true)]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Where to listen; as a flag, repeat it for several addresses [default: port 4401, TCP and QUIC, on all].
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<Multiaddr>,
    /// The group table: CSV (prefix,group[,name[,region]]), ranges with AS numbers, pfx2as or an ASN .mmdb;
    /// repeat it for several files, such as one for each family. Read anew when a file changes.
    #[arg(long, value_name = "FILE", global = true)]
    #[serde(deserialize_with = "one_or_several", skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<PathBuf>,
    /// Where the tracker's identity is kept; links name it [default: the user's data folder].
    #[arg(long, value_name = "FOLDER", env = "STATE_DIRECTORY")]
    pub state: Option<PathBuf>,
    /// With fewer holders than this in the asker's network, fill the list up from outside [default: 40].
    #[arg(long, value_name = "NUMBER")]
    pub low: Option<usize>,
    /// With more holders than this in the asker's network, choose as many by chance [default: 50].
    #[arg(long, value_name = "NUMBER")]
    pub high: Option<usize>,
    /// Which outsiders fill a list up [default: mixed].
    #[arg(long, value_name = "WAY")]
    pub top_up: Option<TopUp>,
    /// Who is told of a few holders outside its network though that has enough [default: stalled].
    #[arg(long, value_name = "WHO")]
    pub bridges: Option<BridgePolicy>,
    /// How long a silent node is remembered, in seconds [default: 600].
    #[arg(long, value_name = "SECONDS")]
    pub lease: Option<u64>,
    /// How many nodes are remembered; beyond it, new ones are answered and not remembered [default: 1000000].
    #[arg(long, value_name = "NUMBER")]
    pub nodes: Option<usize>,
    /// How many holdings of all nodes together are remembered [default: 10000000].
    #[arg(long, value_name = "NUMBER")]
    pub holdings: Option<usize>,
    /// How many holdings of one node are remembered: films that one publisher can put up, 65535 at most
    /// [default: 20000].
    #[arg(long, value_name = "NUMBER")]
    pub per_node: Option<usize>,
    /// How many nodes of one /24 (IPv4) or /48 (IPv6) are remembered, so that nobody fills a film's list
    /// alone [default: 10000].
    #[arg(long, value_name = "NUMBER")]
    pub per_prefix: Option<usize>,
    /// Above this memory of the whole process, in MB, nothing more is remembered; questions are still
    /// answered. 0 for no bound [default: 2048].
    #[arg(long, value_name = "MB")]
    pub memory: Option<u64>,
    /// The UDP port where leases are renewed without a connection [default: one above the TCP port].
    #[arg(long, value_name = "PORT")]
    pub renewals: Option<u16>,
    /// How many connections may be open at once [default: 4096].
    #[arg(long, value_name = "NUMBER")]
    pub connections: Option<u32>,
    /// How many requests a second one address may make in the long run [default: 60].
    #[arg(long, value_name = "NUMBER")]
    pub pace: Option<u32>,
    /// How many requests one address may make at once [default: 300].
    #[arg(long, value_name = "NUMBER")]
    pub burst: Option<u32>,
    /// How many different films one node may ask for in a minute; fifty times as many may be asked for from
    /// one /24 or /48. It keeps anyone from finding out who holds what of a long list [default: 120].
    #[arg(long, value_name = "NUMBER")]
    pub distinct: Option<u32>,
    /// Track only the films this file lists, one id a line; # begins a comment. Without it every film is
    /// tracked. Read anew when it changes.
    #[arg(long, value_name = "FILE")]
    pub listed: Option<PathBuf>,
    /// Neither serve nor list what this file denies: film ids, peer ids and address prefixes, one a line;
    /// repeat it for several files. Read anew when a file changes.
    #[arg(long, value_name = "FILE")]
    #[serde(deserialize_with = "one_or_several", skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<PathBuf>,
    /// Where to serve the status page, /metrics for Prometheus and /healthz, such as 127.0.0.1:4480. They
    /// say which films are held most and by how many: keep them among yourselves [default: nowhere].
    #[arg(long, value_name = "IP:PORT")]
    pub status: Option<SocketAddr>,
    /// What is remembered is saved to the state folder every so many seconds, if anything changed, sooner if
    /// somebody has come and saving is quick, and at the end; a tracker that restarts knows everyone again. 0 to save nothing [default: 60].
    #[arg(long, value_name = "SECONDS")]
    pub snapshot: Option<u64>,
    /// Whether nodes are dialled to find out if others can reach them; who can't be isn't listed [default: on].
    #[arg(long, value_name = "SWITCH")]
    pub dial_back: Option<DialBack>,
    /// How many nodes that can't be dialled may be introduced to others; each keeps a QUIC connection, at most half
    /// of all may be such. 0 introduces nobody [default: 1024].
    #[arg(long, value_name = "NUMBER")]
    pub introductions: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DialBack {
    On,
    Off,
}

impl Settings {
    /// These settings, and where they are silent, those of the settings file.
    pub fn with_file(self) -> anyhow::Result<Self> {
        let Some(path) = self.config.clone() else { return self.check().map(|()| self) };
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("the settings {} can't be read", path.display()))?;
        let senseless = || format!("the settings {} make no sense", path.display());
        let file = file::read(&text).with_context(senseless)?;
        file.check().map_err(|error| file::at_its_line(&text, error)).with_context(senseless)?;
        let both = self.or(file);
        both.check()?;
        Ok(both)
    }

    fn or(self, other: Self) -> Self {
        Self {
            config: self.config.or(other.config),
            listen: if self.listen.is_empty() { other.listen } else { self.listen },
            groups: if self.groups.is_empty() { other.groups } else { self.groups },
            state: self.state.or(other.state),
            low: self.low.or(other.low),
            high: self.high.or(other.high),
            top_up: self.top_up.or(other.top_up),
            bridges: self.bridges.or(other.bridges),
            lease: self.lease.or(other.lease),
            nodes: self.nodes.or(other.nodes),
            holdings: self.holdings.or(other.holdings),
            per_node: self.per_node.or(other.per_node),
            per_prefix: self.per_prefix.or(other.per_prefix),
            memory: self.memory.or(other.memory),
            renewals: self.renewals.or(other.renewals),
            connections: self.connections.or(other.connections),
            pace: self.pace.or(other.pace),
            burst: self.burst.or(other.burst),
            distinct: self.distinct.or(other.distinct),
            listed: self.listed.or(other.listed),
            deny: if self.deny.is_empty() { other.deny } else { self.deny },
            status: self.status.or(other.status),
            snapshot: self.snapshot.or(other.snapshot),
            dial_back: self.dial_back.or(other.dial_back),
            introductions: self.introductions.or(other.introductions),
        }
    }

    /// What is set if nothing is.
    fn defaults() -> anyhow::Result<Self> {
        let all = ["/ip4/0.0.0.0/tcp", "/ip4/0.0.0.0/udp", "/ip6/::/tcp", "/ip6/::/udp"];
        let listen = all.iter().map(|at| match at.ends_with("udp") {
            true => format!("{at}/4401/quic-v1").parse(),
            false => format!("{at}/4401").parse(),
        });
        let (rules, limits) = (Rules::default(), Limits::default());
        Ok(Self {
            listen: listen.collect::<Result<_, _>>()?,
            low: Some(rules.low),
            high: Some(rules.high),
            top_up: Some(rules.top_up),
            bridges: Some(rules.bridges),
            lease: Some(rules.lease.as_secs()),
            nodes: Some(rules.nodes),
            holdings: Some(rules.holdings),
            per_node: Some(rules.per_node),
            per_prefix: Some(rules.per_prefix),
            memory: Some(limits.memory / MB),
            connections: Some(4096),
            pace: Some(limits.pace),
            burst: Some(limits.burst),
            distinct: Some(limits.distinct),
            snapshot: Some(60),
            dial_back: Some(DialBack::On),
            introductions: Some(1024),
            ..Self::default()
        })
    }

    pub fn listen(&self) -> anyhow::Result<Vec<Multiaddr>> {
        Ok(self.clone().or(Self::defaults()?).listen)
    }

    pub fn connections(&self) -> anyhow::Result<u32> {
        self.clone().or(Self::defaults()?).connections.context("there is no bound on connections")
    }

    /// How many nodes may await introductions.
    pub fn introductions(&self) -> anyhow::Result<usize> {
        let wanted = self.clone().or(Self::defaults()?).introductions.unwrap_or_default();
        Ok(wanted.min(usize::try_from(self.connections()? / 2)?))
    }

    pub fn dials_back(&self) -> bool {
        self.dial_back != Some(DialBack::Off)
    }

    /// Where datagrams are listened for: at every address of those for connections.
    pub fn renewals(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let mut sockets: Vec<SocketAddr> = Vec::new();
        for address in self.listen()? {
            let (mut ip, mut tcp) = (None, None);
            for part in &address {
                match part {
                    Protocol::Ip4(four) => ip = Some(IpAddr::V4(four)),
                    Protocol::Ip6(six) => ip = Some(IpAddr::V6(six)),
                    Protocol::Tcp(port) => tcp = Some(port),
                    _ => {}
                }
            }
            let above = tcp.map(|port| if port == 0 { 0 } else { port.saturating_add(1) });
            if let (Some(ip), Some(port)) = (ip, self.renewals.or(above))
                && sockets.iter().all(|socket| socket.ip() != ip)
            {
                sockets.push(SocketAddr::new(ip, port));
            }
        }
        Ok(sockets)
    }

    pub fn rules(&self) -> anyhow::Result<Rules> {
        let default = Rules::default();
        let rules = Rules {
            low: self.low.unwrap_or(default.low),
            high: self.high.unwrap_or(default.high),
            top_up: self.top_up.unwrap_or(default.top_up),
            bridges: self.bridges.unwrap_or(default.bridges),
            lease: self.lease.map_or(default.lease, Duration::from_secs),
            nodes: self.nodes.unwrap_or(default.nodes),
            holdings: self.holdings.unwrap_or(default.holdings),
            per_node: self.per_node.unwrap_or(default.per_node),
            per_prefix: self.per_prefix.unwrap_or(default.per_prefix),
        };
        Ok(rules.checked()?)
    }

    pub fn limits(&self) -> anyhow::Result<Limits> {
        let default = Limits::default();
        let limits = Limits {
            pace: self.pace.unwrap_or(default.pace),
            burst: self.burst.unwrap_or(default.burst),
            distinct: self.distinct.unwrap_or(default.distinct),
            memory: self.memory.map_or(default.memory, |megabytes| megabytes.saturating_mul(MB)),
        };
        Ok(limits.checked()?)
    }

    /// Who and what is served.
    pub fn access(&self) -> anyhow::Result<Access> {
        Ok(Access::read(self.listed.as_deref(), self.deny.iter().map(PathBuf::as_path))?)
    }

    /// How often what is remembered is saved; `None` for never.
    pub fn saved_every(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.snapshot.unwrap_or(60))).filter(|every| !every.is_zero())
    }

    /// Why these settings make no sense, if they don't.
    fn check(&self) -> anyhow::Result<()> {
        self.rules()?;
        self.limits()?;
        ensure!(self.connections != Some(0), "with 0 connections nobody can ask; choose at least 1");
        Ok(())
    }

    /// Names those of the settings in which another differs and that only a restart brings into force.
    pub fn need_restart(&self, other: &Self) -> Vec<&'static str> {
        let differ = [
            ("listen", self.listen != other.listen),
            ("state", self.state != other.state),
            ("connections", self.connections != other.connections),
            ("status", self.status != other.status),
            ("renewals", self.renewals != other.renewals),
            ("snapshot", self.snapshot != other.snapshot),
            ("dial_back", self.dial_back != other.dial_back),
            ("introductions", self.introductions != other.introductions),
        ];
        differ.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }

    /// The group table; empty if none is set.
    pub fn table(&self) -> anyhow::Result<GroupTable> {
        Ok(GroupTable::read_all(self.groups.iter().map(PathBuf::as_path))?)
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

/// Reads one file's name or a list of them.
fn one_or_several<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Named {
        One(PathBuf),
        Several(Vec<PathBuf>),
    }
    Ok(match Named::deserialize(from)? {
        Named::One(path) => vec![path],
        Named::Several(paths) => paths,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_settings_are_the_defaults() {
        let text = commented().unwrap();
        toml::from_str::<Settings>(&text).unwrap();
        let taken: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix('#').filter(|line| !line.starts_with(' ')))
            .collect();
        let printed: Settings = toml::from_str(&taken.join("\n")).unwrap();
        assert_eq!(printed, Settings::defaults().unwrap(), "{text}");
        assert_eq!(printed.rules().unwrap(), Rules::default());
        for key in [
            "# groups = \"FILE\"",
            "# state = \"FOLDER\"",
            "#top_up = \"mixed\"",
            "nearest, best, random",
            "# status = ",
        ] {
            assert!(text.contains(key), "{key} isn't in:\n{text}");
        }
    }

    #[test]
    fn help_tells_the_defaults_there_are() {
        let defaults = toml::Table::try_from(Settings::defaults().unwrap()).unwrap();
        let command = Settings::augment_args(clap::Command::new("test"));
        for (key, value) in defaults.iter().filter(|(key, _)| *key != "listen") {
            let setting = command.get_arguments().find(|setting| setting.get_id() == key.as_str()).unwrap();
            let told = format!("[default: {}]", value.to_string().trim_matches('"'));
            assert!(setting.get_help().unwrap().to_string().contains(&told), "{key}: {told}");
        }
    }

    #[test]
    fn flags_overrule_the_file_and_a_wrong_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tracker.toml");
        let flags = Settings { config: Some(path.clone()), low: Some(3), ..Settings::default() };
        std::fs::write(&path, "low = 1\nhigh = 7\ntop_up = \"best\"\n").unwrap();
        let rules = flags.clone().with_file().unwrap().rules().unwrap();
        assert_eq!((rules.low, rules.high, rules.top_up), (3, 7, TopUp::Best));
        for groups in ["groups = \"a.csv\"", "groups = [\"a.csv\"]"] {
            std::fs::write(&path, groups).unwrap();
            assert_eq!(flags.clone().with_file().unwrap().groups, [PathBuf::from("a.csv")]);
        }
        std::fs::write(&path, "hihg = 7\n").unwrap();
        let error = format!("{:#}", flags.clone().with_file().unwrap_err());
        assert!(error.contains("tracker.toml") && error.contains("hihg"), "{error}");
        // What the flags and the file make together has to make sense too.
        std::fs::write(&path, "high = 50\n").unwrap();
        let flags = Settings { low: Some(60), ..flags };
        assert!(flags.with_file().unwrap_err().to_string().contains("60 to 50"));
    }

    #[test]
    fn what_a_restart_is_needed_for_is_named() {
        let (before, mut after) = (Settings::default(), Settings::default());
        (after.low, after.pace) = (Some(7), Some(9));
        assert!(before.need_restart(&after).is_empty());
        (after.snapshot, after.connections) = (Some(0), Some(9));
        assert_eq!(before.need_restart(&after), ["connections", "snapshot"]);
    }
}
