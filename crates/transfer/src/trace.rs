//! Writing a schedule's event log to a file, a JSON value a line, so that a run can be replayed.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use nearcast_schedule::Schedule;

/// A log file; a write error ends the log, not the transfer.
pub(crate) struct Trace {
    file: Option<BufWriter<File>>,
}

impl Trace {
    /// Creates the file.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: Some(BufWriter::new(File::create(path)?)) })
    }

    /// Drains the schedule's log into the file.
    pub fn write(&mut self, schedule: &mut Schedule) {
        let Some(file) = &mut self.file else { return };
        let written = schedule.log().into_iter().try_for_each(|entry| {
            serde_json::to_writer(&mut *file, &entry)?;
            file.write_all(b"\n")
        });
        if let Err(error) = written {
            tracing::warn!(%error, "the trace can't be written; it ends here");
            self.file = None;
        }
    }
}
