//! Any text is a group table or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nearcast_tracker::GroupTable;

fuzz_target!(|text: &str| {
    if let Ok(table) = GroupTable::parse(text) {
        table.place_of([10, 0, 0, 1].into());
    }
});
