//! The command line.

use std::{path::PathBuf, str::FromStr};

use anyhow::Context;
use clap::Parser;
use nearcast_terminal::{Multiaddr, Paths};

/// Plays films that travel from viewer to viewer, from neighbours on the same network first.
#[derive(Parser, Debug, Clone)]
#[command(name = "nearcast-app", version)]
pub struct Cli {
    /// A nearcast: link, a web address or a file to open. A second start hands it to the first.
    #[arg(value_name = "LINK|URL|FILE")]
    pub open: Vec<String>,
    /// Keep settings, history and films under this folder, apart from the user's own.
    #[arg(long, value_name = "FOLDER")]
    pub root: Option<PathBuf>,
    /// Listen for other viewers here; any free port on all addresses unless given.
    #[arg(long, value_name = "MULTIADDR")]
    pub listen: Vec<Multiaddr>,
    /// Start with a window of this size, such as 960x540, rather than the last one.
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    pub windowed: Option<Size>,
}

/// A window's size, in logical pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once(['x', '×']).and_then(|(width, height)| {
            Some(Self { width: width.parse().ok()?, height: height.parse().ok()? })
        });
        parts
            .filter(|size| (320..=16_384).contains(&size.width) && (180..=16_384).contains(&size.height))
            .ok_or_else(|| "a size is written like 960x540, at least 320x180".into())
    }
}

impl Cli {
    /// Where things are kept.
    ///
    /// # Errors
    /// When the user has no home, or the root no absolute path.
    pub fn paths(&self) -> anyhow::Result<Paths> {
        match &self.root {
            Some(root) => Ok(Paths::under(&std::path::absolute(root)?)),
            None => Paths::of_user().context("this user has no home folder; say where with --root"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_two_sensible_numbers() {
        assert_eq!("960x540".parse(), Ok(Size { width: 960, height: 540 }));
        for wrong in ["", "960", "0x0", "99999x540", "ax b", "-1x200"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
