//! Any stream of bytes is frames, the beginning of one, or an error, and never makes room for more than a
//! frame; what was read can be written and read again.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use nearcast_protocol::{pieces::Frame, wire::MAX_FRAME};

fuzz_target!(|bytes: &[u8]| {
    let mut stream = BytesMut::from(bytes);
    while let Ok(Some(frame)) = Frame::decode(&mut stream) {
        let mut written = BytesMut::new();
        frame.encode(&mut written);
        assert_eq!(Frame::decode(&mut written).ok().flatten(), Some(frame));
    }
    assert!(stream.capacity() <= bytes.len() + 2 * MAX_FRAME);
});
