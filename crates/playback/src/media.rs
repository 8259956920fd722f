//! What a player reads from: bytes that may still be on their way.

use std::time::Duration;

/// The bytes of one film, some of which may not have arrived yet. One is made for each time a film is
/// opened; several threads may call it at once.
///
/// The only contract between the pipeline and whatever fetches: GStreamer's demuxers *pull*, at any
/// offset and on threads of their own, so a read blocks and can be interrupted.
pub trait Media: Send + Sync {
    /// How long the film is, bytes.
    fn size(&self) -> u64;

    /// The file's name, with its extension: a hint when the format is guessed, and what a person is shown.
    fn name(&self) -> String;

    /// Reads at `offset`, blocking until at least one byte is there and then taking what is there *at
    /// once*, up to `buf.len()`. `Ok(0)` is the end of the film.
    ///
    /// # Errors
    /// [`MediaError::Interrupted`] after `interrupt(true)`, until `interrupt(false)`;
    /// [`MediaError::Lost`] when the bytes can never come.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, MediaError>;

    /// With `true`, every blocked and every further read fails with [`MediaError::Interrupted`], until
    /// `false`. Returns at once.
    fn interrupt(&self, on: bool);

    /// A hint: the film's mean bit rate, bit/s. What is known once the duration is.
    fn set_bit_rate(&self, bits_per_second: u64);

    /// A hint: how fast the film is being watched; 1 is as filmed, 0 paused.
    fn set_rate(&self, rate: f64);

    /// How long the longest read that is blocked right now has been waiting, if any is.
    fn waiting(&self) -> Option<Duration>;
}

/// Why a read gave no bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// The reader was told to let go: a seek, or the end of playing. Nothing is wrong.
    #[error("the read was interrupted")]
    Interrupted,
    /// The bytes can never come; one sentence a viewer can understand.
    #[error("{0}")]
    Lost(String),
}
