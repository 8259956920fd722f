//! What can be typed.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use nearcast_protocol::{Multiaddr, Opening};
use nearcast_transfer::rate::Rate;
use serde::Deserialize;

/// Fetch, play and share films with the neighbours on your own network.
///
/// A nearcast: link names a film by its content. Its pieces come from whoever has them, the nearest first:
/// your own provider, campus or office. Everything is verified on arrival, and what you hold is shared on.
#[derive(Debug, Parser)]
#[command(name = "nearcast", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub options: Options,
    /// Say more of what happens (twice: everything); RUST_LOG works too.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  nearcast play 'nearcast://…'                      print a local address that any player opens
  nearcast play 'nearcast://…' --player mpv         … and start mpv on it
  nearcast get https://films.example/v/42 -o a.mp4  save a film
  nearcast share *.mp4 --tracker /ip4/203.0.113.5/tcp/4401
  nearcast play 'nearcast://…' --stdout | ffprobe -

Settings may also stand in nearcast.toml in the configuration folder (--config names another):
  folder = \"/srv/films\"      tracker = [\"/ip4/203.0.113.5/tcp/4401\"]
  upload = \"20Mbit\"          neighbours = true";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Save a film to a file, verified.
    Get(Get),
    /// Give a film to a player while it arrives, and share it on.
    Play(Play),
    /// Share files, or go on sharing what is held already.
    Share(Share),
    /// Print the resource id of files.
    Hash(Hash),
    /// Show what a running nearcast does, or what is held if none runs.
    Status(Status),
    /// Show every decision of a log that --trace wrote, and make each of them again.
    Trace(Trace),
}

/// Settings that every command knows, and the configuration file too.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The configuration file [default: nearcast.toml in the configuration folder].
    #[arg(long, global = true, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Where the identity and what is fetched are kept.
    #[arg(long, global = true, value_name = "FOLDER", env = "NEARCAST_FOLDER")]
    pub folder: Option<PathBuf>,
    /// A tracker to ask and to register with, besides those a link names; may repeat.
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub tracker: Vec<Multiaddr>,
    /// Where to listen for peers, such as /ip4/0.0.0.0/tcp/4400; may repeat [default: any free port].
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub listen: Vec<Multiaddr>,
    /// Upload no faster than this, such as 2Mbit or 250kB.
    #[arg(long, global = true, value_name = "RATE")]
    pub upload: Option<Rate>,
    /// Download no faster than this.
    #[arg(long, global = true, value_name = "RATE")]
    pub download: Option<Rate>,
    /// Don't look for neighbours on the local network by mDNS.
    #[arg(long, global = true)]
    #[serde(skip)]
    pub no_neighbours: bool,
    /// Whether neighbours on the local network are looked for (configuration file only).
    #[arg(skip)]
    pub neighbours: Option<bool>,
    /// Don't ask the router to lead strangers here (UPnP).
    #[arg(long, global = true)]
    #[serde(skip)]
    pub no_port_mapping: bool,
    /// Whether the router is asked to lead strangers here (configuration file only).
    #[arg(skip)]
    pub port_mapping: Option<bool>,
    /// Upload as fast as the line goes, even where calls and games on it suffer.
    #[arg(long, global = true)]
    #[serde(skip)]
    pub whole_line: bool,
    /// Whether uploads give way to whatever else is on the line (configuration file only).
    #[arg(skip)]
    pub give_way: Option<bool>,
    /// The port of the local HTTP address on 127.0.0.1 [default: any free one].
    #[arg(long, global = true, value_name = "PORT")]
    pub port: Option<u16>,
    /// Take a link's web sources also from this machine and from private networks.
    #[arg(long, global = true)]
    #[serde(skip)]
    pub private_sources: bool,
    /// Write every decision of the schedule to this file, a JSON value a line.
    #[arg(long, global = true, value_name = "FILE")]
    #[serde(skip)]
    pub trace: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Get {
    /// A nearcast: link, or the http(s) URL of a film.
    #[arg(value_name = "LINK")]
    pub opening: Opening,
    /// The file to write [default: the film's name, in this folder].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(short, long)]
    pub force: bool,
    /// Share it on when it is complete, until stopped.
    #[arg(short, long)]
    pub seed: bool,
    /// Give up when nothing at all arrives for this many seconds; 0 waits for ever.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub patience: u64,
}

#[derive(Debug, Args)]
pub struct Play {
    /// A nearcast: link, or the http(s) URL of a film.
    #[arg(value_name = "LINK")]
    pub opening: Opening,
    /// Start this player on the local address, such as mpv or "vlc --fullscreen".
    #[arg(long, value_name = "COMMAND", conflicts_with = "stdout")]
    pub player: Option<String>,
    /// End when the player ends, rather than share on.
    #[arg(long, requires = "player")]
    pub once: bool,
    /// Write the film's bytes to standard output instead.
    #[arg(long)]
    pub stdout: bool,
    /// Keep nothing on disk.
    #[arg(long)]
    pub memory: bool,
    /// Hold at most so many MB of the film at once, 17 or more; what was played goes to make room
    /// [default: all of it; with --memory 25].
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(17..))]
    pub room: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Share {
    /// The files; without any, what is held already is shared on.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Hash {
    /// The files.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Write FILE.obao4 beside each: with it a web server can be a link's source.
    #[arg(long)]
    pub proofs: bool,
}

#[derive(Debug, Args)]
pub struct Status {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Trace {
    /// The log.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Show what happened, too, and not only what was decided.
    #[arg(long)]
    pub events: bool,
    /// Show what came after this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    pub from: f64,
    /// Show what came before this many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub to: Option<f64>,
}

impl Options {
    /// The options with what the configuration file adds; flags win.
    pub fn with_config(self) -> anyhow::Result<Self> {
        let default = directories::ProjectDirs::from("", "", "nearcast")
            .map(|folders| folders.config_dir().join("nearcast.toml"));
        let (path, must_exist) = match (&self.config, default) {
            (Some(path), _) => (path.clone(), true),
            (None, Some(path)) => (path, false),
            (None, None) => return Ok(self),
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => return Ok(self),
            Err(error) => {
                return Err(error).with_context(|| format!("can't read the settings in {}", path.display()));
            }
        };
        let file: Self =
            toml::from_str(&text).with_context(|| format!("the settings in {} are wrong", path.display()))?;
        Ok(self.over(file))
    }

    fn over(self, file: Self) -> Self {
        let some = |flags: Vec<Multiaddr>, file| if flags.is_empty() { file } else { flags };
        Self {
            config: self.config,
            folder: self.folder.or(file.folder),
            tracker: some(self.tracker, file.tracker),
            listen: some(self.listen, file.listen),
            upload: self.upload.or(file.upload),
            download: self.download.or(file.download),
            no_neighbours: self.no_neighbours,
            neighbours: file.neighbours,
            no_port_mapping: self.no_port_mapping,
            port_mapping: file.port_mapping,
            whole_line: self.whole_line,
            give_way: file.give_way,
            port: self.port.or(file.port),
            private_sources: self.private_sources,
            trace: self.trace,
        }
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
    fn flags_win_over_the_file() {
        let file: Options = toml::from_str(
            "folder = '/a'\nupload = '2Mbit'\ntracker = ['/ip4/127.0.0.1/tcp/1']\nneighbours = false",
        )
        .unwrap();
        let flags = Options { upload: "1Mbit".parse().ok(), ..Options::default() };
        let both = flags.over(file);
        assert_eq!(both.upload.map(|rate| rate.bytes), Some(125_000));
        assert_eq!(both.folder, Some("/a".into()));
        assert_eq!(both.tracker.len(), 1);
        assert_eq!(both.neighbours, Some(false));
        assert!(toml::from_str::<Options>("uplaod = '2Mbit'").is_err());
    }
}
