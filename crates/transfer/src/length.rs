//! How long a film lasts, by its container's header, so that players that don't say it get deadlines in seconds of
//! media too: the local HTTP address, standard output, a file.
//!
//! MP4 and its kin (ISO/IEC 14496-12: `moov`, `mvhd`) and Matroska with WebM (RFC 9559: `Info`). The bytes are a
//! stranger's: a few are looked at, none allocated by what they say.

use std::{ops::Range, time::Duration};

/// Boxes or elements looked at before giving up.
const MOST: usize = 256;
/// What a film may last, so that no header makes nonsense of a bit rate.
const SENSIBLE: Range<Duration> = Duration::from_secs(1)..Duration::from_secs(7 * 24 * 3600);

/// Why the length isn't known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The bytes from here on have to be held first.
    Awaits(u64),
    /// The file doesn't say.
    Unsaid,
}

/// How long the film lasts; `read` fills a buffer with the bytes from an offset on, and says whether they are held.
pub(crate) fn length(size: u64, read: impl FnMut(u64, &mut [u8]) -> bool) -> Result<Duration, Unknown> {
    let mut film = Film { size, read };
    let lasts = match film.bytes::<8>(0)? {
        [0x1a, 0x45, 0xdf, 0xa3, ..] => film.matroska()?,
        [_, _, _, _, kind @ ..] if is_mp4(&kind) => film.mp4()?,
        _ => return Err(Unknown::Unsaid),
    };
    SENSIBLE.contains(&lasts).then_some(lasts).ok_or(Unknown::Unsaid)
}

/// Whether a file may begin with a box of this kind.
fn is_mp4(kind: &[u8; 4]) -> bool {
    [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp"].contains(&kind)
}

struct Film<F> {
    size: u64,
    read: F,
}

impl<F: FnMut(u64, &mut [u8]) -> bool> Film<F> {
    fn bytes<const N: usize>(&mut self, at: u64) -> Result<[u8; N], Unknown> {
        if at.checked_add(N as u64).is_none_or(|end| end > self.size) {
            return Err(Unknown::Unsaid);
        }
        let mut bytes = [0; N];
        if (self.read)(at, &mut bytes) { Ok(bytes) } else { Err(Unknown::Awaits(at)) }
    }

    fn mp4(&mut self) -> Result<Duration, Unknown> {
        let moov = self.part_of(0..self.size, b"moov")?;
        let mvhd = self.part_of(moov, b"mvhd")?.start;
        let [version, ..] = self.bytes::<4>(mvhd)?;
        let (scale, length) = match version {
            0 => {
                let length = u32::from_be_bytes(self.bytes(mvhd + 16)?);
                (self.bytes(mvhd + 12)?, if length == u32::MAX { 0 } else { length.into() })
            }
            _ => (self.bytes(mvhd + 20)?, u64::from_be_bytes(self.bytes(mvhd + 24)?)),
        };
        seconds(length as f64 / f64::from(u32::from_be_bytes(scale)))
    }

    /// The content of the first box of a kind.
    fn part_of(&mut self, within: Range<u64>, kind: &[u8; 4]) -> Result<Range<u64>, Unknown> {
        let mut at = within.start;
        for _ in 0..MOST {
            let [a, b, c, d, found @ ..] = self.bytes::<8>(at)?;
            let (header, length) = match u32::from_be_bytes([a, b, c, d]) {
                0 => (8, within.end.saturating_sub(at)),
                1 => (16, u64::from_be_bytes(self.bytes(at + 8)?)),
                length => (8, length.into()),
            };
            let end = at.checked_add(length).filter(|end| length >= header && *end <= within.end);
            let end = end.ok_or(Unknown::Unsaid)?;
            if found == *kind {
                return Ok(at + header..end);
            }
            at = end;
        }
        Err(Unknown::Unsaid)
    }

    fn matroska(&mut self) -> Result<Duration, Unknown> {
        const SEGMENT: u64 = 0x1853_8067;
        const INFO: u64 = 0x1549_a966;
        const CLUSTER: u64 = 0x1f43_b675;
        const SCALE: u64 = 0x2a_d7b1;
        const DURATION: u64 = 0x4489;
        let (mut at, mut end) = (0, self.size);
        let (mut nanos, mut length) = (1_000_000, None);
        for _ in 0..MOST {
            if at >= end {
                break;
            }
            let (id, content) = self.element(at)?;
            at = content.end;
            match id {
                SEGMENT => (at, end) = (content.start, content.end.min(self.size)),
                INFO => (at, end) = (content.start, content.end),
                CLUSTER => break,
                SCALE => nanos = self.number(&content)?,
                DURATION if content.end - content.start == 4 => {
                    length = Some(f32::from_be_bytes(self.bytes(content.start)?).into());
                }
                DURATION => length = Some(f64::from_be_bytes(self.bytes(content.start)?)),
                _ => {}
            }
        }
        seconds(length.ok_or(Unknown::Unsaid)? * nanos as f64 / 1e9)
    }

    /// The id of an element and where its content lies; one of unknown size ends with the file.
    fn element(&mut self, at: u64) -> Result<(u64, Range<u64>), Unknown> {
        let (id, width) = self.variable(at, false)?;
        let (length, more) = self.variable(at + width, true)?;
        let start = at + width + more;
        let unknown = length == (1 << (7 * more)) - 1;
        let end = if unknown { Some(self.size) } else { start.checked_add(length) };
        Ok((id, start..end.ok_or(Unknown::Unsaid)?))
    }

    /// A number of variable width, and that width in bytes; an id keeps its mark, a size doesn't.
    fn variable(&mut self, at: u64, unmarked: bool) -> Result<(u64, u64), Unknown> {
        let [first] = self.bytes::<1>(at)?;
        let width = u64::from(first.leading_zeros()) + 1;
        if width > 8 {
            return Err(Unknown::Unsaid);
        }
        let number = self.number(&(at..at + width))?;
        Ok((if unmarked { number & !(1 << (7 * width)) } else { number }, width))
    }

    fn number(&mut self, of: &Range<u64>) -> Result<u64, Unknown> {
        if !(1..=8).contains(&of.end.saturating_sub(of.start)) {
            return Err(Unknown::Unsaid);
        }
        of.clone().try_fold(0, |number, at| Ok(number << 8 | u64::from(self.bytes::<1>(at)?[0])))
    }
}

fn seconds(seconds: f64) -> Result<Duration, Unknown> {
    Duration::try_from_secs_f64(seconds).map_err(|_| Unknown::Unsaid)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads of a file of which so many bytes from its start on are held, and all from `tail` on.
    fn of(file: &[u8], held: usize, tail: usize) -> Result<Duration, Unknown> {
        length(file.len() as u64, |at, into| {
            let range = at as usize..at as usize + into.len();
            let there = range.end <= held || range.start >= tail;
            if there {
                into.copy_from_slice(&file[range]);
            }
            there
        })
    }

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len() + 8).unwrap();
        [&length.to_be_bytes()[..], kind, content].concat()
    }

    fn mvhd(version: u8) -> Vec<u8> {
        let times = if version == 0 { vec![0; 8] } else { vec![0; 16] };
        let length =
            if version == 0 { 30_500_u32.to_be_bytes().to_vec() } else { 30_500_u64.to_be_bytes().to_vec() };
        boxed(
            b"mvhd",
            &[&[version, 0, 0, 0][..], &times, &1000_u32.to_be_bytes(), &length, &[0; 80]].concat(),
        )
    }

    #[test]
    fn mp4_says_it_wherever_its_index_is() {
        let lasts = Ok(Duration::from_millis(30_500));
        for version in [0, 1] {
            let moov = boxed(b"moov", &[mvhd(version), boxed(b"trak", &[0; 100])].concat());
            let (ftyp, mdat) = (boxed(b"ftyp", b"isom"), boxed(b"mdat", &[7; 5000]));
            let first = [ftyp.clone(), moov.clone(), mdat.clone()].concat();
            assert_eq!(of(&first, first.len(), 0), lasts);
            let last = [ftyp, mdat, moov].concat();
            assert_eq!(of(&last, 200, usize::MAX), Err(Unknown::Awaits(12 + 5008)));
            assert_eq!(of(&last, 200, 12 + 5008), lasts);
        }
    }

    #[test]
    fn matroska_says_it_with_and_without_sizes() {
        let info = [
            &[0x2a, 0xd7, 0xb1, 0x83][..],
            &[0x0f, 0x42, 0x40],
            &[0x44, 0x89, 0x88],
            &30_500_f64.to_be_bytes(),
        ];
        let info = info.concat();
        let info = [&[0x15, 0x49, 0xa9, 0x66, 0x80 | info.len() as u8][..], &info].concat();
        let header = [0x1a, 0x45, 0xdf, 0xa3, 0x84, 0x42, 0x86, 0x81, 1];
        let void = [0xec, 0x82, 0, 0];
        let unknown = [&[0x18, 0x53, 0x80, 0x67, 0x01][..], &[0xff; 7]].concat();
        let sized = [0x18, 0x53, 0x80, 0x67, 0x40, (void.len() + info.len()) as u8];
        for segment in [&unknown[..], &sized] {
            let file = [&header[..], segment, &void, &info, &[0; 2]].concat();
            assert_eq!(of(&file, file.len(), 0), Ok(Duration::from_millis(30_500)));
        }
        let cluster = [&header[..], &unknown, &[0x1f, 0x43, 0xb6, 0x75, 0x81, 0, 0, 0]].concat();
        assert_eq!(of(&cluster, cluster.len(), 0), Err(Unknown::Unsaid));
    }

    #[test]
    fn real_films_say_it() {
        let folder = std::env::var_os("NEARCAST_FILMS").map(std::path::PathBuf::from);
        let Some(folder) = folder else { return };
        for name in ["big-buck-bunny.mp4", "big-buck-bunny.mkv", "big-buck-bunny.webm"] {
            let Ok(file) = std::fs::read(folder.join(name)) else { continue };
            let lasts = of(&file, file.len(), 0).unwrap();
            assert!(lasts > Duration::from_secs(20), "{name}: {lasts:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nonsense_is_survived(
            start in 0_usize..4, bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)
        ) {
            let starts: [&[u8]; 4] = [b"", b"\0\0\0\x08ftyp", b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67", b"\0\0\0\x08moov"];
            let file = [starts[start], &bytes].concat();
            if let Ok(lasts) = of(&file, file.len(), 0) {
                assert!(SENSIBLE.contains(&lasts));
            }
        }
    }
}
