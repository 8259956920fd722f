//! Small pictures of a whole film on one sheet, and which is where: what a player shows over its time line.

use std::{fmt::Write, path::Path, time::Duration};

use anyhow::Context;

use crate::{
    frames::{Frame, Frames},
    jpeg,
};

/// The width of a picture.
const WIDTH: u16 = 160;
/// How many pictures there are at most, and how many in a row.
const MOST: u32 = 100;
const COLUMNS: u32 = 10;
/// Of a shorter film each picture is of its very time: in a clip, few stand by themselves.
const SHORT: Duration = Duration::from_secs(180);
/// The least time between two.
const CLOSEST: Duration = Duration::from_secs(2);

/// The small pictures of a film.
pub struct Board {
    every: Duration,
    length: Duration,
    tiles: Vec<Frame>,
}

impl Board {
    /// Decodes them, evenly spread.
    pub fn of(film: &Path, length: Duration) -> anyhow::Result<Self> {
        let every = (length / MOST).max(CLOSEST);
        let count =
            u32::try_from(length.as_millis().div_ceil(every.as_millis())).unwrap_or(MOST).clamp(1, MOST);
        let mut frames = Frames::open(film, &format!("width={WIDTH},pixel-aspect-ratio=1/1"))?;
        let mut tiles: Vec<Frame> = Vec::new();
        for number in 0..count {
            // Where nothing can be decoded, the one before is shown.
            let frame = frames.at(every * number, length < SHORT)?.or_else(|| tiles.last().cloned());
            let frame = frame.context("no picture could be decoded")?;
            // All as large as the first, should the film change its size.
            let like_first = tiles.first().is_none_or(|first| first.height == frame.height);
            tiles.push(if like_first { frame } else { tiles.last().cloned().unwrap_or(frame) });
        }
        Ok(Self { every, length, tiles })
    }

    /// All on one sheet, as a JPEG file.
    pub fn sheet(&self) -> anyhow::Result<Vec<u8>> {
        let tile = self.tiles.first().context("no pictures")?;
        let columns = COLUMNS.min(u32::try_from(self.tiles.len()).unwrap_or(COLUMNS)) as usize;
        let rows = self.tiles.len().div_ceil(columns);
        let (width, height) = (usize::from(tile.width), usize::from(tile.height));
        let mut pixels = vec![0; columns * width * rows * height * 3];
        for (number, tile) in self.tiles.iter().enumerate() {
            let (column, row) = (number % columns, number / columns);
            for (line, source) in tile.pixels.chunks(width * 3).enumerate() {
                let at = ((row * height + line) * columns + column) * width * 3;
                if let Some(target) = pixels.get_mut(at..at + source.len()) {
                    target.copy_from_slice(source);
                }
            }
        }
        let (width, height) = (u16::try_from(columns * width)?, u16::try_from(rows * height)?);
        jpeg::encode(&Frame { width, height, pixels }, 70)
    }

    /// Which picture is of which time: WebVTT with the places on the sheet.
    pub fn index(&self, sheet: &str) -> String {
        let mut index = String::from("WEBVTT\n");
        let Some(tile) = self.tiles.first() else { return index };
        let (width, height) = (u32::from(tile.width), u32::from(tile.height));
        for number in 0..u32::try_from(self.tiles.len()).unwrap_or(0) {
            let (from, to) = (self.every * number, (self.every * (number + 1)).min(self.length));
            let (x, y) = (number % COLUMNS * width, number / COLUMNS * height);
            // A text takes any number of lines.
            let _ =
                write!(index, "\n{} --> {}\n{sheet}#xywh={x},{y},{width},{height}\n", stamp(from), stamp(to));
        }
        index
    }
}

/// 01:02:03.400
fn stamp(time: Duration) -> String {
    let (seconds, ms) = (time.as_secs(), time.subsec_millis());
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(tiles: u8) -> Board {
        let tile = |number| Frame { width: 4, height: 2, pixels: vec![number; 24] };
        let every = Duration::from_secs(2);
        Board { every, length: every * tiles.into(), tiles: (0..tiles).map(tile).collect() }
    }

    #[test]
    fn the_index_says_where_each_picture_is() {
        let index = board(12).index("s.jpg");
        assert!(
            index.starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:02.000\ns.jpg#xywh=0,0,4,2\n"),
            "{index}"
        );
        assert!(index.ends_with("\n00:00:22.000 --> 00:00:24.000\ns.jpg#xywh=4,2,4,2\n"), "{index}");
    }

    #[test]
    fn a_sheet_is_as_wide_as_its_pictures() {
        let sheet = board(3).sheet().unwrap();
        assert_eq!(sheet.get(..2), Some(&[0xff, 0xd8][..]));
        // Height and width in the frame header (ITU T.81 B.2.2).
        let header = sheet.windows(2).position(|mark| mark == [0xff, 0xc0]).unwrap();
        assert_eq!(sheet.get(header + 5..header + 9), Some(&[0, 2, 0, 12][..]));
    }
}
