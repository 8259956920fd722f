//! The film behind a reader of the transfer controller.

use std::time::Duration;

use nearcast_transfer::{Interrupted, Reader};

use crate::{Media, MediaError};

/// A resource that is fetched while it is played, or a plain file on the web.
pub struct Fetched {
    reader: Reader,
}

impl Fetched {
    /// What `reader` reads.
    pub fn new(reader: Reader) -> Self {
        Self { reader }
    }
}

impl Media for Fetched {
    fn size(&self) -> u64 {
        self.reader.size()
    }

    fn name(&self) -> String {
        self.reader.name().to_owned()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, MediaError> {
        self.reader.read_blocking(offset, buf).map_err(|error| match error {
            Interrupted::Flushing => MediaError::Interrupted,
            Interrupted::Failed(error) => MediaError::Lost(error.to_string()),
        })
    }

    fn interrupt(&self, on: bool) {
        self.reader.interrupt(on);
    }

    fn set_bit_rate(&self, bits_per_second: u64) {
        self.reader.set_bit_rate(bits_per_second);
    }

    fn set_rate(&self, rate: f64) {
        self.reader.set_rate(rate);
    }

    fn waiting(&self) -> Option<Duration> {
        self.reader.waiting_since().map(|since| since.elapsed())
    }
}
