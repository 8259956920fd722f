//! Frames as JPEG.

use jpeg_encoder::{ColorType, Encoder};

use crate::frames::Frame;

/// The frame as a JPEG file; `quality` goes to 100.
pub fn encode(frame: &Frame, quality: u8) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, quality).encode(&frame.pixels, frame.width, frame.height, ColorType::Rgb)?;
    Ok(bytes)
}
