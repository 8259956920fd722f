//! A small read-ahead between a demuxer and its [`Media`].

use crate::{Media, MediaError};

/// How much is read ahead, bytes. Demuxers of mkv, ts and flac ask for this much anyway.
const WINDOW: usize = 64 * 1024;

/// How many places are kept. An mp4 demuxer reads sound and picture with two cursors about 115 kB apart,
/// and goes back to the index now and then; a mkv demuxer looks at head, tail and cues in turn.
const WINDOWS: usize = 4;

/// What was read lately, in a few windows. Saves the cost of a blocking read for each of the 6 to 16 byte
/// reads that demuxers make by the thousand, and never waits for a byte that wasn't asked for.
#[derive(Default)]
pub(super) struct ReadCache {
    /// The newest last.
    windows: Vec<Window>,
}

struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn from(&self, offset: u64) -> Option<&[u8]> {
        let skip = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(skip..).filter(|rest| !rest.is_empty())
    }
}

impl ReadCache {
    /// Fills `out` from `offset` on, blocking for exactly these bytes. Returns how many there were: fewer
    /// only at the end of the film. On an error nothing that was read is forgotten.
    pub(super) fn read(
        &mut self,
        media: &dyn Media,
        offset: u64,
        out: &mut [u8],
    ) -> Result<usize, MediaError> {
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let rest = &mut out[done..];
            let count = match self.take(at, rest) {
                0 if rest.len() >= WINDOW => media.read_at(at, rest)?,
                0 => {
                    self.load(media, at)?;
                    self.take(at, rest)
                }
                count => count,
            };
            if count == 0 {
                break;
            }
            done += count;
        }
        Ok(done)
    }

    fn take(&mut self, offset: u64, out: &mut [u8]) -> usize {
        let Some(index) = self.windows.iter().position(|window| window.from(offset).is_some()) else {
            return 0;
        };
        let window = self.windows.remove(index);
        let count = window.from(offset).map_or(0, |held| {
            let count = held.len().min(out.len());
            out[..count].copy_from_slice(&held[..count]);
            count
        });
        self.windows.push(window);
        count
    }

    /// Reads one window at `offset`. The media blocks for the first byte only, and that one was asked for.
    fn load(&mut self, media: &dyn Media, offset: u64) -> Result<(), MediaError> {
        let mut bytes = if self.windows.len() < WINDOWS { Vec::new() } else { self.windows.remove(0).bytes };
        bytes.resize(WINDOW, 0);
        let read = media.read_at(offset, &mut bytes);
        bytes.truncate(*read.as_ref().unwrap_or(&0));
        self.windows.push(Window { start: offset, bytes });
        read.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Gives at most `grain` bytes a read, and fails where a demuxer would have had to wait.
    struct Grains {
        film: Vec<u8>,
        grain: usize,
        missing: std::ops::Range<u64>,
        reads: Mutex<Vec<(u64, usize)>>,
    }

    impl Media for Grains {
        fn size(&self) -> u64 {
            self.film.len() as u64
        }
        fn name(&self) -> String {
            String::new()
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, MediaError> {
            self.reads.lock().unwrap().push((offset, buf.len()));
            if self.missing.contains(&offset) {
                return Err(MediaError::Interrupted);
            }
            let held = if offset < self.missing.start { self.missing.start } else { self.size() };
            let end = held.min(self.size());
            let count = (end.saturating_sub(offset) as usize).min(buf.len()).min(self.grain);
            let start = offset as usize;
            buf[..count].copy_from_slice(&self.film[start..start + count]);
            Ok(count)
        }
        fn interrupt(&self, _on: bool) {}
        fn set_bit_rate(&self, _bits_per_second: u64) {}
        fn set_rate(&self, _rate: f64) {}
        fn waiting(&self) -> Option<Duration> {
            None
        }
    }

    fn grains(size: usize, grain: usize, missing: std::ops::Range<u64>) -> Grains {
        let film = (0..size).map(|i| (i * 31 % 251) as u8).collect();
        Grains { film, grain, missing, reads: Mutex::default() }
    }

    #[test]
    fn small_reads_in_a_row_cost_one_read_of_the_media() {
        let media = grains(300_000, usize::MAX, 0..0);
        let mut cache = ReadCache::default();
        let mut out = [0; 16];
        for offset in (0..32_000).step_by(16) {
            assert_eq!(cache.read(&media, offset, &mut out), Ok(16));
        }
        assert_eq!(*media.reads.lock().unwrap(), [(0, WINDOW)]);
    }

    #[test]
    fn two_cursors_do_not_push_each_other_out() {
        let media = grains(400_000, usize::MAX, 0..0);
        let mut cache = ReadCache::default();
        let mut out = [0; 8];
        for offset in (0..48_000).step_by(8) {
            cache.read(&media, offset, &mut out).unwrap();
            cache.read(&media, offset + 115_000, &mut out).unwrap();
        }
        assert_eq!(media.reads.lock().unwrap().len(), 2);
    }

    #[test]
    fn a_missing_byte_that_was_not_asked_for_is_not_waited_for() {
        let media = grains(200_000, usize::MAX, 100..200_000);
        let mut cache = ReadCache::default();
        assert_eq!(cache.read(&media, 90, &mut [0; 10]), Ok(10));
        assert_eq!(cache.read(&media, 90, &mut [0; 11]), Err(MediaError::Interrupted));
        assert_eq!(cache.read(&media, 95, &mut [0; 5]), Ok(5));
    }

    proptest! {
        #[test]
        fn gives_what_the_film_holds(
            grain in 1_usize..90_000,
            reads in vec((0_u64..260_000, 1_usize..100_000), 1..40),
        ) {
            let media = grains(250_000, grain.max(500), 0..0);
            let mut cache = ReadCache::default();
            for (offset, length) in reads {
                let mut out = vec![0; length];
                let count = cache.read(&media, offset.min(media.size()), &mut out).unwrap();
                let start = offset.min(media.size()) as usize;
                let end = media.film.len().min(start + length);
                prop_assert_eq!(&out[..count], &media.film[start..end]);
            }
        }
    }
}
