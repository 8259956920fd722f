//! Any text is a token, bound or a link's, or an error; what is one can be written again; nothing is ever believed
//! of which no guard has spoken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nearcast_protocol::{
    PeerId, ResourceId, Token,
    token::{BoundToken, LinkToken, Verifier},
};

fuzz_target!(|text: &str| {
    let Some(token) = Token::new(text) else { return };
    if let Ok(link) = LinkToken::read(&token) {
        assert_eq!(link.to_token().as_ref(), Some(&token));
    }
    if let Ok(bound) = BoundToken::read(&token) {
        assert_eq!(bound.to_token().as_ref(), Some(&token));
    }
    let (resource, peer) = (ResourceId::from_bytes([1; 32]), PeerId::random());
    assert!(Verifier::default().check(Some(&token), None, &resource, &peer, 0).is_err());
});
