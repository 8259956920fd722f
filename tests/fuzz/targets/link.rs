//! Any text is a link, something else that can be opened, or an error; what is a link can be written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nearcast_protocol::{Link, Opening, link::MAX_LINK};

fuzz_target!(|text: &str| {
    let _ = text.parse::<Opening>();
    let Ok(link) = text.parse::<Link>() else { return };
    let written = link.to_string();
    // Escapes make a link longer; one near the limit may pass it.
    if written.len() <= MAX_LINK {
        assert_eq!(written.parse::<Link>().as_ref(), Ok(&link), "{written}");
    }
});
