//! Any bytes are a tracker's snapshot or an error, even where its hash isn't looked at.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use nearcast_tracker::snapshot;

fuzz_target!(|bytes: &[u8]| {
    // So that the fuzzer needn't find out how a file begins.
    let bytes = [b"nearcast-tracker\n\0\x01", bytes].concat();
    snapshot::read(&bytes[..], Path::new("snapshot"), drop).ok();
});
