//! What can be typed, and what the configuration file may say.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use nearcast_protocol::Multiaddr;
use nearcast_publisher::access::policy::ALL;
use nearcast_publisher::hours::Hours;
use nearcast_transfer::rate::Rate;
use serde::Deserialize;
use url::Url;

use crate::signing::Period;

/// Put films up once, and let their viewers carry the rest.
///
/// Every film in the folder is hashed, registered with the trackers and uploaded to whoever asks; a web
/// page lists them with a Play link each. Viewers get a film from neighbours on their own network first,
/// and from here only what no neighbour has.
#[derive(Debug, Parser)]
#[command(name = "nearcast-publisher", version, after_help = EXAMPLES, subcommand_negates_reqs = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub options: Options,
    /// Say everything that happens; RUST_LOG works too.
    #[arg(short, long)]
    pub verbose: bool,
}

/// What is done beside a running publisher.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a signed link to a protected film: whoever has it may watch until it expires.
    Link(SignLink),
    /// Sign links with a new key from now on; this is done by itself once a month.
    RotateKeys(RotateKeys),
}

#[derive(Debug, Args)]
pub struct SignLink {
    /// The film's file, or its id.
    #[arg(value_name = "FILE|ID")]
    pub film: String,
    /// How long the link is good, such as 12h, 7d or 2w.
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub expires: Period,
    /// Print a web address of the site rather than a nearcast: link.
    #[arg(long)]
    pub url: bool,
    #[command(flatten)]
    pub state: StateOptions,
}

#[derive(Debug, Args)]
pub struct RotateKeys {
    /// Refuse all links that were given so far.
    #[arg(long)]
    pub revoke: bool,
    #[command(flatten)]
    pub state: StateOptions,
}

/// Where the publisher keeps its state.
#[derive(Debug, Clone, Args)]
pub struct StateOptions {
    /// The publisher's configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the publisher keeps its state [default: the data folder].
    #[arg(long, value_name = "FOLDER", env = "STATE_DIRECTORY")]
    pub state: Option<PathBuf>,
    /// The address under which viewers reach its web site.
    #[arg(long, value_name = "URL")]
    pub public: Option<Url>,
}

impl StateOptions {
    /// As the publisher itself would take them.
    pub fn options(&self) -> anyhow::Result<Options> {
        let StateOptions { config, state, public } = self.clone();
        Options { config, state, public, ..Options::default() }.with_config()
    }
}

const EXAMPLES: &str = "\
Examples:
  nearcast-publisher /srv/films --tracker /ip4/203.0.113.5/tcp/4401 --public https://films.example/
  nearcast-publisher ~/Videos --http 127.0.0.1:8080 --upload 20Mbit
  nearcast-publisher --config /etc/nearcast/publisher.toml
  nearcast-publisher /srv/films --protect=members --password-file /etc/nearcast/password
  nearcast-publisher link /srv/films/members/film.mp4 --expires 7d

The configuration file has the same names as the flags:
  folder = \"/srv/films\"
  tracker = [\"/ip4/203.0.113.5/tcp/4401\"]
  public = \"https://films.example/\"
  upload = \"200Mbit\"
  hours = [\"22:00-07:00 = unlimited\"]";

/// Where the administration is, if nothing else is said.
pub const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8401);
/// How long running streams may go on at the end, s.
pub const DRAIN: u32 = 10;

#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The folder of films; folders in it are looked into, and changes are noticed.
    #[arg(value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// A tracker to register with; may repeat.
    #[arg(long, value_name = "ADDRESS")]
    pub tracker: Vec<Multiaddr>,
    /// Where to listen for peers; may repeat [default: any free port].
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<Multiaddr>,
    /// Where to serve the web site [default: 0.0.0.0:8400].
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// The address under which viewers reach the web site [default: made from --http].
    #[arg(long, value_name = "URL")]
    pub public: Option<Url>,
    /// The site's name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Upload no faster than this, such as 200Mbit.
    #[arg(long, value_name = "RATE")]
    pub upload: Option<Rate>,
    /// Upload no faster than this for any one film.
    #[arg(long, value_name = "RATE")]
    pub upload_each: Option<Rate>,
    /// Another upload limit for a part of the day, such as "22:00-07:00 = unlimited"; may repeat, the first
    /// that fits counts.
    #[arg(long, value_name = "HOURS")]
    pub hours: Vec<Hours>,
    /// How many viewers are served at once for each film [default: 50].
    #[arg(long, value_name = "NUMBER")]
    pub streams: Option<usize>,
    /// How many viewers are served at once for all films together [default: unlimited].
    #[arg(long, value_name = "NUMBER")]
    pub streams_in_all: Option<usize>,
    /// Ask the router to lead viewers here (UPnP): for a publisher at home.
    #[arg(long)]
    pub map_ports: bool,
    /// Let uploads give way to whatever else is on the line: for a publisher at home.
    #[arg(long)]
    pub give_way: bool,
    /// Give films to bearers of signed links only: all, or those in this folder or of this pattern; may repeat.
    #[arg(long, value_name = "PATTERN", num_args = 0..=1, require_equals = true, default_missing_value = ALL)]
    pub protect: Vec<String>,
    /// Give a signed link to who knows the password in this file's first line.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// How long a link is good that the password has given [default: 24h].
    #[arg(long, value_name = "TIME")]
    pub link_life: Option<Period>,
    /// Once so many viewers hold a whole film, serve only networks where none does; 0 serves always
    /// [default: 40].
    #[arg(long, value_name = "NUMBER")]
    pub enough: Option<u32>,
    /// How often the trackers are asked how many viewers hold a film that is being served, in seconds
    /// [default: 20].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub count_every: Option<u32>,
    /// Make no posters and storyboards.
    #[arg(long)]
    pub no_posters: bool,
    /// Where the administration is served: status page, metrics, and orders with a token [default: 127.0.0.1:8401, or
    /// any free port if that is taken].
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<SocketAddr>,
    /// Where visitors without the app get it.
    #[arg(long, value_name = "URL")]
    pub download: Option<Url>,
    /// How many streams at a time are given to those without the app; 0 for none [default: 8].
    #[arg(long, value_name = "NUMBER")]
    pub direct: Option<usize>,
    /// What those without the app get together at most [default: a quarter of --upload].
    #[arg(long, value_name = "RATE")]
    pub direct_rate: Option<Rate>,
    /// How many connections the web site takes at a time [default: 2048].
    #[arg(long, value_name = "NUMBER")]
    pub connections: Option<usize>,
    /// How long running streams may go on when it is told to end, in seconds [default: 10].
    #[arg(long, value_name = "SECONDS")]
    pub drain: Option<u32>,
    /// The largest film that may be sent in through the administration, in GB [default: 100].
    #[arg(long, value_name = "GB")]
    pub largest: Option<u32>,
    /// Print the settings as a configuration file, every one explained, and end.
    #[arg(long)]
    #[serde(skip)]
    pub print_config: bool,
    /// Where the identity and the index are kept [default: the data folder].
    #[arg(long, value_name = "FOLDER", env = "STATE_DIRECTORY")]
    pub state: Option<PathBuf>,
}

impl Options {
    /// The options with what the configuration file adds; flags win.
    pub fn with_config(self) -> anyhow::Result<Self> {
        let Some(path) = self.config.clone() else { return Ok(self) };
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("can't read the settings in {}", path.display()))?;
        let file: Self =
            toml::from_str(&text).with_context(|| format!("the settings in {} are wrong", path.display()))?;
        let some = |flags: Vec<Multiaddr>, file| if flags.is_empty() { file } else { flags };
        Ok(Self {
            folder: self.folder.or(file.folder),
            config: self.config,
            tracker: some(self.tracker, file.tracker),
            listen: some(self.listen, file.listen),
            http: self.http.or(file.http),
            public: self.public.or(file.public),
            name: self.name.or(file.name),
            upload: self.upload.or(file.upload),
            upload_each: self.upload_each.or(file.upload_each),
            hours: if self.hours.is_empty() { file.hours } else { self.hours },
            enough: self.enough.or(file.enough),
            count_every: self.count_every.or(file.count_every),
            no_posters: self.no_posters || file.no_posters,
            streams: self.streams.or(file.streams),
            streams_in_all: self.streams_in_all.or(file.streams_in_all),
            map_ports: self.map_ports || file.map_ports,
            give_way: self.give_way || file.give_way,
            protect: if self.protect.is_empty() { file.protect } else { self.protect },
            password_file: self.password_file.or(file.password_file),
            link_life: self.link_life.or(file.link_life),
            state: self.state.or(file.state),
            admin: self.admin.or(file.admin),
            download: self.download.or(file.download),
            direct: self.direct.or(file.direct),
            direct_rate: self.direct_rate.or(file.direct_rate),
            connections: self.connections.or(file.connections),
            drain: self.drain.or(file.drain),
            largest: self.largest.or(file.largest),
            print_config: self.print_config,
        })
    }

    /// The largest film that may be sent in, in bytes.
    pub fn largest_film(&self) -> u64 {
        u64::from(self.largest.unwrap_or(100)) * 1_000_000_000
    }

    /// Every setting: its name, what it is set to, and an example, as TOML.
    pub fn as_set(&self) -> Vec<(&'static str, Option<String>, &'static str)> {
        let text = |text: String| toml::Value::String(text).to_string();
        let rate = |rate: &Option<Rate>| rate.map(|rate| text(format!("{}B", rate.bytes)));
        let address = |address: &Option<SocketAddr>| address.map(|address| text(address.to_string()));
        let url = |url: &Option<Url>| url.as_ref().map(|url| text(url.to_string()));
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| text(path.display().to_string()));
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let list = |texts: Vec<String>| {
            let texts: Vec<_> = texts.into_iter().map(toml::Value::String).collect();
            (!texts.is_empty()).then(|| toml::Value::Array(texts).to_string())
        };
        let addresses = |addresses: &[Multiaddr]| list(addresses.iter().map(ToString::to_string).collect());
        vec![
            ("folder", path(&self.folder), r#""/srv/films""#),
            ("tracker", addresses(&self.tracker), r#"["/ip4/203.0.113.5/tcp/4401"]"#),
            ("listen", addresses(&self.listen), r#"["/ip4/0.0.0.0/tcp/4402"]"#),
            ("http", address(&self.http), r#""0.0.0.0:8400""#),
            ("public", url(&self.public), r#""https://films.example/""#),
            ("name", self.name.clone().map(text), r#""Films""#),
            ("upload", rate(&self.upload), r#""200Mbit""#),
            ("upload_each", rate(&self.upload_each), r#""50Mbit""#),
            (
                "hours",
                list(self.hours.iter().map(ToString::to_string).collect()),
                r#"["22:00-07:00 = unlimited"]"#,
            ),
            ("streams", number(self.streams.map(|streams| streams as u64)), "50"),
            ("streams_in_all", number(self.streams_in_all.map(|streams| streams as u64)), "1000"),
            ("enough", number(self.enough.map(Into::into)), "40"),
            ("count_every", number(self.count_every.map(Into::into)), "20"),
            ("map_ports", self.map_ports.then(|| "true".to_owned()), "false"),
            ("give_way", self.give_way.then(|| "true".to_owned()), "false"),
            ("no_posters", self.no_posters.then(|| "true".to_owned()), "false"),
            ("protect", list(self.protect.clone()), r#"["members"]"#),
            ("password_file", path(&self.password_file), r#""/etc/nearcast/password""#),
            ("link_life", self.link_life.map(|life| text(format!("{}s", life.0.as_secs()))), r#""24h""#),
            ("admin", address(&self.admin), r#""127.0.0.1:8401""#),
            ("download", url(&self.download), r#""https://films.example/nearcast""#),
            ("direct", number(self.direct.map(|direct| direct as u64)), "8"),
            ("direct_rate", rate(&self.direct_rate), r#""50Mbit""#),
            ("connections", number(self.connections.map(|connections| connections as u64)), "2048"),
            ("drain", number(self.drain.map(Into::into)), "10"),
            ("largest", number(self.largest.map(Into::into)), "100"),
            ("state", path(&self.state), r#""/var/lib/nearcast-publisher""#),
        ]
    }

    pub fn http_address(&self) -> SocketAddr {
        self.http.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 8400).into())
    }

    pub fn state_folder(&self) -> anyhow::Result<PathBuf> {
        if let Some(state) = &self.state {
            return Ok(state.clone());
        }
        let folders = directories::ProjectDirs::from("", "", "nearcast-publisher");
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
}
