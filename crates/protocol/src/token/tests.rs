use proptest::{
    collection::vec,
    prelude::{any, prop_assert, prop_assert_eq, proptest},
};

use super::*;
use crate::{Link, pieces::Reason, wire::MAX_TOKEN};

const NOW: u64 = 1_800_000_000;
const FILM: ResourceId = ResourceId::from_bytes([7; 32]);
const DAY: u64 = 86_400;

fn identity(seed: u8) -> Keypair {
    Keypair::ed25519_from_bytes([seed; KEY]).unwrap()
}

fn guard() -> Guard {
    Guard::of(&identity(1).public().to_peer_id()).unwrap()
}

fn peer(seed: u8) -> PeerId {
    identity(seed).public().to_peer_id()
}

fn key(from: u64, until: u64, floor: u64) -> SigningKey {
    SigningKey::certify(&identity(1), [2; KEY], Term { from, until }, floor).unwrap()
}

fn link_token() -> LinkToken {
    key(NOW - DAY, NOW + 30 * DAY, 0).token(FILM, Term { from: NOW, until: NOW + DAY }, [3; KEY]).unwrap()
}

fn bound() -> Token {
    link_token().bind(peer(9)).unwrap().to_token().unwrap()
}

fn check(token: &Token, at: u64) -> Result<Guard, TokenError> {
    Verifier::default().check(Some(token), Some(guard()), &FILM, &peer(9), at)
}

#[test]
fn a_link_s_token_is_bound_and_believed() {
    let link = LinkToken::read(&link_token().to_token().unwrap()).unwrap();
    assert_eq!((link.guard(), link.resource(), link.term().until), (guard(), FILM, NOW + DAY));
    let token = link.bind(peer(9)).unwrap().to_token().unwrap();
    assert_eq!(check(&token, NOW), Ok(guard()));
    assert_eq!(guard().peer_id(), Some(peer(1)));
    assert_eq!(guard().to_string().parse(), Ok(guard()));
}

#[test]
fn everything_fits_a_token_and_a_link() {
    let (link, bound) = (link_token().to_token().unwrap(), bound());
    assert_eq!((link.as_str().len(), bound.as_str().len()), (439, 534));
    assert!(bound.as_str().len() <= MAX_TOKEN);
    let text = format!("nearcast://{FILM}/film.mp4?size=1000&token={}", link.as_str());
    assert_eq!(text.len(), 528, "{text}");
    assert_eq!(text.parse::<Link>().unwrap().token, Some(link));
}

#[test]
fn the_network_never_sees_the_secret() {
    let bytes = BASE64URL_NOPAD.decode(bound().as_str().as_bytes()).unwrap();
    assert!(!bytes.windows(KEY).any(|window| window == [3; KEY]));
    let link = BASE64URL_NOPAD.decode(link_token().to_token().unwrap().as_str().as_bytes()).unwrap();
    assert!(link.ends_with(&[3; KEY]));
    // Nor does a log.
    assert!(!format!("{:?} {:?}", link_token(), link_token().bind(peer(9))).contains("secret"));
    assert_eq!(format!("{:?}", bound()), "Token(534 bytes)");
}

#[test]
fn each_fault_has_its_own_word() {
    let mut verifier = Verifier::default();
    let mut ask = |token: Option<&Token>, guard, film, who, at| {
        verifier.check(token, guard, &film, &peer(who), at).unwrap_err()
    };
    let (token, own, other) = (bound(), Some(guard()), ResourceId::from_bytes([8; 32]));
    let stranger = Guard::of(&peer(5));
    let raw = link_token().to_token().unwrap();
    let cut = Token::new(&token.as_str()[..500]).unwrap();
    let late = NOW + DAY;
    let faults = [
        (ask(None, own, FILM, 9, NOW), TokenError::Missing, Reason::NotAllowed),
        (ask(Some(&cut), own, FILM, 9, NOW), TokenError::Unreadable, Reason::TokenWrong),
        (ask(Some(&raw), own, FILM, 9, NOW), TokenError::NotBound, Reason::TokenOfTerminal),
        (ask(Some(&token), own, FILM, 9, late), TokenError::Expired { at: late }, Reason::TokenExpired),
        (ask(Some(&token), own, FILM, 9, NOW - 301), TokenError::Early { from: NOW }, Reason::TokenEarly),
        (ask(Some(&token), own, other, 9, NOW), TokenError::OtherResource, Reason::TokenOfOther),
        (ask(Some(&token), own, FILM, 8, NOW), TokenError::OtherTerminal, Reason::TokenOfTerminal),
        (ask(Some(&token), own, FILM, 9, NOW + 30 * DAY), TokenError::KeyRetired, Reason::KeyRetired),
        (ask(Some(&token), stranger, FILM, 9, NOW), TokenError::UnknownGuard, Reason::UnknownGuard),
    ];
    let mut sentences = std::collections::BTreeSet::new();
    for (found, expected, reason) in faults {
        assert_eq!((found, found.reason()), (expected, reason));
        assert!(sentences.insert(found.to_string()), "said twice: {found}");
    }
    let expired = TokenError::Expired { at: NOW }.to_string();
    assert_eq!(expired, "the link expired on 2027-01-15 08:00 UTC: ask its publisher for a new one");
    // Good to the last second, and from a clock that is a little behind.
    assert_eq!((check(&token, late - 1), check(&token, NOW - 300)), (Ok(guard()), Ok(guard())));
}

#[test]
fn a_rotated_key_is_good_to_its_end_and_a_revoked_one_is_not() {
    let old = bound();
    let rotated = SigningKey::certify(&identity(1), [4; KEY], Term { from: NOW, until: NOW + 60 * DAY }, 0);
    let term = Term { from: NOW, until: NOW + DAY };
    let shown = |key: &SigningKey| {
        key.token(FILM, term, [5; KEY]).unwrap().bind(peer(9)).unwrap().to_token().unwrap()
    };
    let mut verifier = Verifier::default();
    let mut ask = |token: &Token| verifier.check(Some(token), None, &FILM, &peer(9), NOW + 1);
    assert_eq!((ask(&shown(&rotated.unwrap())), ask(&old)), (Ok(guard()), Ok(guard())));
    // The next key says that what was certified before it is revoked: one token of it is enough to know.
    let revoking =
        SigningKey::certify(&identity(1), [6; KEY], Term { from: NOW + 1, until: NOW + DAY }, NOW + 1);
    assert_eq!(ask(&shown(&revoking.unwrap())), Ok(guard()));
    assert_eq!(ask(&old), Err(TokenError::KeyRetired));
}

#[test]
fn nobody_else_can_raise_a_guard_s_floor() {
    // A stranger's key, which says that it is the guard's.
    let mut forged =
        SigningKey::certify(&identity(5), [6; KEY], Term { from: 0, until: u64::MAX }, u64::MAX).unwrap();
    forged.certificate.guard = guard();
    let token = forged.token(FILM, Term { from: 0, until: u64::MAX }, [7; KEY]).unwrap();
    let token = token.bind(peer(9)).unwrap().to_token().unwrap();
    let mut verifier = Verifier::default();
    let mut ask = |token: &Token| verifier.check(Some(token), None, &FILM, &peer(9), NOW);
    assert_eq!(ask(&token), Err(TokenError::Tampered));
    assert_eq!(ask(&bound()), Ok(guard()));
}

#[test]
fn what_is_remembered_as_right_is_still_judged_by_time_and_terminal() {
    let (mut verifier, token) = (Verifier::default(), bound());
    for _ in 0..2 {
        assert_eq!(verifier.check(Some(&token), None, &FILM, &peer(9), NOW), Ok(guard()));
        assert_eq!(verifier.check(Some(&token), None, &FILM, &peer(8), NOW), Err(TokenError::OtherTerminal));
        let late = verifier.check(Some(&token), None, &FILM, &peer(9), NOW + DAY);
        assert_eq!(late, Err(TokenError::Expired { at: NOW + DAY }));
    }
}

#[test]
fn the_swarm_of_a_protected_resource_is_none_of_a_file_s() {
    let swarm = guard().swarm_of(&FILM);
    assert!(is_protected_swarm(&swarm) && !is_protected_swarm(&FILM));
    let others =
        [Guard::from_bytes([9; KEY]).swarm_of(&FILM), guard().swarm_of(&ResourceId::from_bytes([8; 32]))];
    assert!(!others.contains(&swarm));
}

#[test]
fn the_guard_itself_checks_a_link_s_token() {
    let (mut verifier, token) = (Verifier::default(), link_token().to_token().unwrap());
    let mut ask = |guard, film, at| verifier.check_link(&token, guard, &film, at).map(drop);
    assert_eq!(ask(guard(), FILM, NOW), Ok(()));
    assert_eq!(ask(guard(), FILM, NOW + DAY), Err(TokenError::Expired { at: NOW + DAY }));
    assert_eq!(ask(guard(), ResourceId::from_bytes([8; 32]), NOW), Err(TokenError::OtherResource));
    assert_eq!(ask(Guard::of(&peer(5)).unwrap(), FILM, NOW), Err(TokenError::UnknownGuard));
    verifier.raise(guard(), NOW);
    assert_eq!(verifier.check_link(&token, guard(), &FILM, NOW), Err(TokenError::KeyRetired));
}

proptest! {
    #[test]
    fn tokens_come_back(
        film in any::<[u8; 32]>(),
        times in any::<[u64; 5]>(),
        secrets in any::<[[u8; KEY]; 3]>(),
    ) {
        let [from, until, floor, film_from, film_until] = times;
        let guard = Keypair::ed25519_from_bytes(secrets[0]).unwrap();
        let key = SigningKey::certify(&guard, secrets[1], Term { from, until }, floor).unwrap();
        let term = Term { from: film_from, until: film_until };
        let link = key.token(ResourceId::from_bytes(film), term, secrets[2]).unwrap();
        prop_assert_eq!(&LinkToken::read(&link.to_token().unwrap()).unwrap(), &link);
        let bound = link.bind(peer(9)).unwrap();
        prop_assert_eq!(BoundToken::read(&bound.to_token().unwrap()).unwrap(), bound);
    }

    #[test]
    fn any_changed_bit_is_refused(at in any::<proptest::sample::Index>(), bit in 0..8u8) {
        for whole in [link_token().to_token().unwrap(), bound()] {
            let mut bytes = BASE64URL_NOPAD.decode(whole.as_str().as_bytes()).unwrap();
            let place = at.index(bytes.len());
            bytes[place] ^= 1 << bit;
            let changed = Token::new(BASE64URL_NOPAD.encode(&bytes)).unwrap();
            prop_assert!(check(&changed, NOW).is_err());
            prop_assert!(LinkToken::read(&changed).is_err());
        }
    }

    #[test]
    fn any_changed_character_is_refused(at in any::<proptest::sample::Index>(), letter in "[A-Za-z0-9_=. -]") {
        for whole in [link_token().to_token().unwrap(), bound()] {
            let mut text = whole.as_str().to_owned();
            let place = at.index(text.len());
            text.replace_range(place..=place, &letter);
            let changed = Token::new(text).unwrap();
            if changed != whole {
                prop_assert!(check(&changed, NOW).is_err());
                prop_assert!(LinkToken::read(&changed).is_err());
            }
        }
    }

    #[test]
    fn any_bytes_give_an_answer(mut bytes in vec(any::<u8>(), 0..600), kind in 0..4u8) {
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        if let Some(token) = Token::new(BASE64URL_NOPAD.encode(&bytes)) {
            prop_assert!(check(&token, NOW).is_err());
            prop_assert!(LinkToken::read(&token).is_err());
        }
    }

    #[test]
    fn any_text_gives_an_answer(text in "\\PC{0,200}") {
        if let Some(token) = Token::new(text) {
            prop_assert!(check(&token, NOW).is_err());
            prop_assert!(LinkToken::read(&token).is_err());
        }
    }
}
