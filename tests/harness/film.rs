//! The real film, in the containers that the film script makes of it, and files of noise.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Big Buck Bunny in one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Film {
    /// Ten minutes of mp4, index first.
    Mp4,
    /// Ten minutes of mp4, index last.
    Mp4IndexLast,
    /// Ten minutes of Matroska.
    Mkv,
    /// Ten minutes of WebM.
    Webm,
    /// Ten minutes of MPEG transport stream.
    Ts,
    /// Half a minute of mp4, index first.
    Short,
}

/// The path of a film; made on first use.
///
/// # Errors
/// When it can't be fetched or made; with what the script said.
pub fn film(film: Film) -> Result<PathBuf> {
    let name = match film {
        Film::Mp4 => "mp4",
        Film::Mp4IndexLast => "mp4-index-last",
        Film::Mkv => "mkv",
        Film::Webm => "webm",
        Film::Ts => "ts",
        Film::Short => "short",
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the tests have no project")?;
    let mut script = Command::new(root.join("scripts/film"));
    let made = script.arg(name).current_dir(root).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !made.status.success() {
        bail!("scripts/film {name} failed with {}", made.status);
    }
    let path = root.join(String::from_utf8(made.stdout)?.trim());
    if !path.is_file() {
        bail!("scripts/film {name} made no {}", path.display());
    }
    Ok(path)
}

/// Writes a file of reproducible noise, which no network can guess.
///
/// # Errors
/// When it can't be written.
pub fn random_file(path: &Path, bytes: usize, seed: u64) -> Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    // SplitMix64 (Steele, Lea, Flood 2014): enough that no two blocks are alike.
    let mut state = seed;
    let mut left = bytes;
    while left > 0 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        let part = word.to_le_bytes();
        let taken = left.min(part.len());
        out.write_all(&part[..taken])?;
        left -= taken;
    }
    Ok(out.flush()?)
}
