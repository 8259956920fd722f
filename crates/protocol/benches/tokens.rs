//! What it costs to judge a token, in µs: never seen, from a new terminal, and seen before. Prints, asserts nothing.

use std::{hint::black_box, time::Instant};

use libp2p_identity::Keypair;
use nearcast_protocol::{
    PeerId, ResourceId, Token,
    token::{SigningKey, Term, Verifier},
};

const TOKENS: usize = 500;
const ROUNDS: usize = 7;

fn main() {
    let film = ResourceId::from_bytes([7; 32]);
    let term = Term { from: 0, until: u64::MAX };
    let guard = Keypair::generate_ed25519();
    let Some(key) = SigningKey::certify(&guard, [1; 32], term, 0) else { return };
    let token = |one_off: u64, peer: PeerId| {
        let mut secret = [2; 32];
        secret[..8].copy_from_slice(&one_off.to_be_bytes());
        key.token(film, term, secret).and_then(|link| link.bind(peer)?.to_token())
    };
    let peers: Vec<_> = (0..TOKENS).map(|_| Keypair::generate_ed25519().public().to_peer_id()).collect();
    let own_links: Vec<_> =
        (0..).zip(&peers).filter_map(|(n, peer)| Some((token(n, *peer)?, *peer))).collect();
    let one_link: Vec<_> = peers.iter().filter_map(|peer| Some((token(0, *peer)?, *peer))).collect();
    let mut best = [f64::MAX; 3];
    for _ in 0..ROUNDS {
        let mut verifier = Verifier::default();
        best[0] = best[0].min(microseconds(&mut verifier, &own_links, film));
        let mut verifier = Verifier::default();
        microseconds(&mut verifier, &one_link[..1], film);
        best[1] = best[1].min(microseconds(&mut verifier, &one_link[1..], film));
        best[2] = best[2].min(microseconds(&mut verifier, &one_link, film));
    }
    println!(
        "a token never seen {:.1} µs, from a new terminal {:.1} µs, seen before {:.1} µs",
        best[0], best[1], best[2]
    );
}

fn microseconds(verifier: &mut Verifier, tokens: &[(Token, PeerId)], film: ResourceId) -> f64 {
    let began = Instant::now();
    for (token, peer) in tokens {
        if black_box(verifier.check(Some(token), None, &film, peer, 1)).is_err() {
            println!("a good token was refused");
        }
    }
    began.elapsed().as_secs_f64() * 1e6 / tokens.len() as f64
}
