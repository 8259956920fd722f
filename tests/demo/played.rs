//! What a viewer would notice, told.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// Bytes by where they came from.
pub struct Bytes {
    pub own_group: u64,
    pub other_groups: u64,
    pub publisher: u64,
}

/// One viewing.
pub struct Played {
    pub first_picture_ms: Option<u64>,
    pub seek_picture_ms: Option<u64>,
    pub stalls: u64,
    pub stalled_ms: u64,
    pub bytes: Bytes,
    pub verified: bool,
}

impl Played {
    /// Prints it, the last line for machines.
    ///
    /// # Errors
    /// When it didn't play.
    pub fn report(&self) -> Result<()> {
        let first = self.first_picture_ms.context("no picture was seen")?;
        let seek = self.seek_picture_ms.context("no picture was seen after the seek")?;
        let Bytes { own_group, other_groups, publisher } = self.bytes;
        println!(
            "first picture after {first} ms, after the seek {seek} ms; {} stalls of {} ms in all",
            self.stalls, self.stalled_ms
        );
        let mb = |bytes: u64| bytes as f64 / 1e6;
        println!(
            "{:.1} MB from the own network, {:.1} MB from the other, {:.1} MB from the publisher",
            mb(own_group),
            mb(other_groups),
            mb(publisher),
        );
        let line = json!({
            "first_picture_ms": first,
            "seek_picture_ms": seek,
            "stalls": self.stalls,
            "stalled_ms": self.stalled_ms,
            "bytes": { "own_group": own_group, "other_groups": other_groups, "publisher": publisher },
            "verified": self.verified,
        });
        println!("{line}");
        if !self.verified {
            bail!("what was fetched isn't the film");
        }
        Ok(())
    }
}

/// A figure that has to be there.
pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}
