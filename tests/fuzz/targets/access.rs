//! Any text is a list of what is tracked or denied, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nearcast_tracker::Access;

fuzz_target!(|text: &str| {
    let mut access = Access::default();
    access.list(text).ok();
    access.deny(text).ok();
});
