//! Single frames of a film, decoded on demand.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use gstreamer::{
    ClockTime, Element, MessageType, MessageView, Pipeline, Sample, SeekFlags, State, glib, prelude::*,
};

/// How long one frame may take.
const PATIENCE: ClockTime = ClockTime::from_seconds(20);

/// A frame: RGB, row by row, without gaps.
#[derive(Debug, Clone)]
pub struct Frame {
    pub width: u16,
    pub height: u16,
    pub pixels: Vec<u8>,
}

/// A film that is decoded here and there.
pub struct Frames {
    pipeline: Pipeline,
    sink: Element,
}

impl Frames {
    /// Opens a film; its frames get the size that `caps` asks for.
    pub fn open(film: &Path, caps: &str) -> anyhow::Result<Self> {
        gstreamer::init()?;
        let uri = glib::filename_to_uri(std::path::absolute(film)?, None)?;
        let description = format!(
            "uridecodebin name=film ! videoconvert ! videoscale \
             ! video/x-raw,format=RGB,{caps} ! fakesink name=sink sync=false"
        );
        let pipeline = gstreamer::parse::launch(&description)?;
        let pipeline = pipeline.downcast::<Pipeline>().ok().context("no pipeline")?;
        pipeline.by_name("film").context("no source")?.set_property("uri", uri.as_str());
        let sink = pipeline.by_name("sink").context("no sink")?;
        let frames = Self { pipeline, sink };
        frames.pipeline.set_state(State::Paused)?;
        frames.settle()?;
        Ok(frames)
    }

    /// The frame to be seen at a time; or, which takes far less, the last one before it that stands by itself.
    pub fn at(&mut self, time: Duration, exactly: bool) -> anyhow::Result<Option<Frame>> {
        let time = ClockTime::try_from(time)?;
        let way = if exactly { SeekFlags::ACCURATE } else { SeekFlags::KEY_UNIT | SeekFlags::SNAP_BEFORE };
        if self.pipeline.seek_simple(SeekFlags::FLUSH | way, time).is_err() {
            return Ok(None);
        }
        self.settle()?;
        self.sink.property::<Option<Sample>>("last-sample").map(|sample| frame_of(&sample)).transpose()
    }

    /// Waits until a frame is there.
    fn settle(&self) -> anyhow::Result<()> {
        let bus = self.pipeline.bus().context("no bus")?;
        let wanted = [MessageType::AsyncDone, MessageType::Error, MessageType::Eos];
        let message = bus.timed_pop_filtered(PATIENCE, &wanted).context("decoding takes too long")?;
        match message.view() {
            MessageView::Error(error) => bail!("can't be decoded: {}", error.error()),
            _ => Ok(()),
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.pipeline.set_state(State::Null).ok();
    }
}

fn frame_of(sample: &Sample) -> anyhow::Result<Frame> {
    let caps = sample.caps().and_then(|caps| caps.structure(0)).context("a frame without a size")?;
    let (width, height) = (caps.get::<i32>("width")?, caps.get::<i32>("height")?);
    let (width, height) = (u16::try_from(width)?, u16::try_from(height)?);
    let buffer = sample.buffer().context("a frame without pixels")?.map_readable()?;
    let row = usize::from(width) * 3;
    // GStreamer's rows of RGB begin at multiples of four.
    let stride = row.next_multiple_of(4);
    let rows = buffer.chunks(stride).take(usize::from(height)).filter_map(|line| line.get(..row));
    let pixels: Vec<u8> = rows.flatten().copied().collect();
    if pixels.len() != row * usize::from(height) {
        bail!("a frame with too few pixels");
    }
    Ok(Frame { width, height, pixels })
}

impl Frame {
    /// Mean and spread of its brightness, 0 to 255.
    fn light(&self) -> (f64, f64) {
        let lights = || {
            self.pixels.as_chunks::<3>().0.iter().map(|[red, green, blue]| {
                0.2126 * f64::from(*red) + 0.7152 * f64::from(*green) + 0.0722 * f64::from(*blue)
            })
        };
        let count = (self.pixels.len() / 3).max(1) as f64;
        let mean = lights().sum::<f64>() / count;
        let spread = (lights().map(|light| (light - mean).powi(2)).sum::<f64>() / count).sqrt();
        (mean, spread)
    }

    /// Whether it shows something: neither black nor white nor all alike.
    pub fn is_good(&self) -> bool {
        let (mean, spread) = self.light();
        (30.0..225.0).contains(&mean) && spread > 25.0
    }

    /// The more there is to be seen, the more.
    pub fn worth(&self) -> f64 {
        let (mean, spread) = self.light();
        spread * (1.0 - ((mean - 118.0) / 138.0).abs()).max(0.05)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(pixel: impl Fn(usize) -> u8) -> Frame {
        let pixels = (0..64 * 36).flat_map(|at| [pixel(at); 3]).collect();
        Frame { width: 64, height: 36, pixels }
    }

    #[test]
    fn black_and_white_and_flat_frames_are_not_good() {
        let busy = frame(|at| if at % 3 == 0 { 220 } else { 60 });
        assert!(busy.is_good());
        for dull in [frame(|_| 0), frame(|_| 255), frame(|_| 128), frame(|at| u8::from(at % 7 == 0) * 9)] {
            assert!(!dull.is_good() && dull.worth() < busy.worth());
        }
    }
}
