//! Any bytes are a tracker message or an error; what was read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nearcast_protocol::{
    tracker::{Answer, Request},
    wire::{MAX_MESSAGE, decode, encode},
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = decode::<Request>(bytes, MAX_MESSAGE) {
        let again = decode::<Request>(&encode(&request), MAX_MESSAGE);
        assert_eq!(again.ok().as_ref(), Some(&request));
    }
    if let Ok(answer) = decode::<Answer>(bytes, MAX_MESSAGE) {
        let again = decode::<Answer>(&encode(&answer), MAX_MESSAGE);
        assert_eq!(again.ok().as_ref(), Some(&answer));
    }
});
