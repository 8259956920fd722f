//! The parts of a swarm, each a real process.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::program::Program;

/// The demo's group table: three networks on loopback.
///
/// # Errors
/// When the project isn't where it was built.
pub fn groups() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the tests have no project")?;
    Ok(root.join("assets/groups-demo.csv"))
}

/// A running tracker.
pub struct Tracker {
    /// The process.
    pub program: Program,
    /// Its address, identity included.
    pub address: String,
}

impl Tracker {
    /// Starts one that listens on `listen` and keeps its state in `folder`.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub fn start(folder: &Path, listen: &str) -> Result<Self> {
        Self::start_with(folder, listen, &[])
    }

    /// The same, with more arguments.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub fn start_with(folder: &Path, listen: &str, more: &[&OsStr]) -> Result<Self> {
        let groups = groups()?;
        let mut arguments =
            vec!["--listen".as_ref(), listen.as_ref(), "--groups".as_ref(), groups.as_os_str()];
        arguments.extend(["--state".as_ref(), folder.as_os_str()]);
        arguments.extend(more);
        let mut program = Program::start("nearcast-tracker", &arguments)?;
        let address = program.wait_for("where it listens", |line| {
            Some(line.strip_prefix("listening on ")?.trim().to_owned())
                .filter(|address| address.contains("/tcp/"))
        })?;
        Ok(Self { program, address })
    }
}

/// A running `nearcast share`.
pub struct Neighbour {
    /// The process.
    pub program: Program,
    /// The first file's link.
    pub link: String,
    /// Where it keeps what it holds.
    pub folder: PathBuf,
}

impl Neighbour {
    /// Starts one that shares `file` from `ip`, and waits until the tracker has taken it in.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub fn start(folder: &Path, ip: &str, tracker: &str, file: &Path, upload: Option<&str>) -> Result<Self> {
        let listen = format!("/ip4/{ip}/tcp/0");
        let folder = folder.join(format!("neighbour-{ip}"));
        let mut arguments = vec!["share".as_ref(), file.as_os_str()];
        arguments.extend(["--no-neighbours", "--listen", &listen, "--tracker", tracker].map(OsStr::new));
        arguments.extend(["--folder".as_ref(), folder.as_os_str()]);
        if let Some(upload) = upload {
            arguments.extend(["--upload", upload].map(OsStr::new));
        }
        let mut program = Program::start("nearcast", &arguments)?;
        let (mut link, mut registered) = (None, false);
        let link = program.wait_for("a link and that it is registered", |line| {
            if line.starts_with("nearcast://") {
                link = Some(line.trim().to_owned());
            }
            registered |= line.starts_with("registered with");
            link.clone().filter(|_| registered)
        })?;
        Ok(Self { program, link, folder })
    }
}

/// A running publisher.
pub struct Publisher {
    /// The process.
    pub program: Program,
    /// The address of its web site, with a slash at the end.
    pub site: String,
}

impl Publisher {
    /// Starts one that puts up `films` from `ip`, and waits until `count` of them are up.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub fn start(
        folder: &Path,
        ip: &str,
        tracker: &str,
        films: &Path,
        count: usize,
        upload: Option<&str>,
    ) -> Result<Self> {
        let more = upload.map(|upload| ["--upload", upload]);
        Self::start_with(folder, ip, tracker, films, count, more.as_ref().map_or(&[], |more| &more[..]))
    }

    /// As [`Publisher::start`], with any other arguments.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub fn start_with(
        folder: &Path,
        ip: &str,
        tracker: &str,
        films: &Path,
        count: usize,
        more: &[&str],
    ) -> Result<Self> {
        let (listen, http) = (format!("/ip4/{ip}/tcp/0"), format!("{ip}:0"));
        let state = folder.join(format!("publisher-{ip}"));
        let mut arguments = vec![films.as_os_str()];
        arguments.extend(["--listen", &listen, "--http", &http, "--tracker", tracker].map(OsStr::new));
        arguments.extend(["--state".as_ref(), state.as_os_str()]);
        arguments.extend(more.iter().map(OsStr::new));
        let mut program = Program::start("nearcast-publisher", &arguments)?;
        let (mut site, mut up) = (None, 0);
        let site = program.wait_for("its site and its films", |line| {
            if let Some(address) = line.strip_prefix("catalogue at ") {
                site = Some(address.trim().to_owned());
            }
            up += usize::from(line.contains("put up") && !line.contains("not put up"));
            site.clone().filter(|_| up >= count)
        })?;
        Ok(Self { program, site })
    }
}
