use minicbor::Encoder;
use proptest::{
    collection::vec,
    prelude::{any, prop_assert_eq, proptest},
};

use super::*;
use crate::{
    arbitrary::{answers, requests},
    wire::{MAX_ADDRESS, MAX_ADDRESSES, MAX_MESSAGE, MAX_TEXT, WireError, decode, encode},
};

fn request(bytes: &[u8]) -> Result<Request, WireError> {
    decode(bytes, MAX_MESSAGE)
}

fn answer(bytes: &[u8]) -> Result<Answer, WireError> {
    decode(bytes, MAX_MESSAGE)
}

fn id() -> ResourceId {
    ResourceId::from_bytes([7; 32])
}

fn registration() -> Registration {
    Registration {
        version: "nearcast/0.1.0".into(),
        role: Role::Terminal,
        tcp_port: 4400,
        quic_port: 0,
        reach: Reach::Nat,
        medium: Medium::Wired,
        local: vec!["/ip4/192.168.1.2/tcp/4400".parse().unwrap()],
        holdings: vec![Holding { resource: id(), permille: 1000, guard: None }],
        spare_upload: 2_000_000,
    }
}

/// The longest address that is taken.
fn longest_address() -> Multiaddr {
    let address = |length| format!("/dns/{}", "d".repeat(length)).parse().unwrap();
    let header = Multiaddr::len(&address(200)) - 200;
    address(MAX_ADDRESS - header)
}

#[test]
fn the_largest_messages_fit() {
    let address = longest_address();
    assert_eq!(address.len(), MAX_ADDRESS);
    let guard = Some(Guard::from_bytes([0xff; 32]));
    let holding = Holding { resource: id(), permille: u16::MAX, guard };
    let text = "x".repeat(MAX_TEXT);
    let claim = Claim { url: text.clone(), link: text.clone() };
    let registration = Registration {
        version: text.clone(),
        local: vec![address.clone(); MAX_ADDRESSES],
        holdings: vec![holding; MAX_HOLDINGS],
        ..registration()
    };
    let renewal = Renewal {
        held: vec![holding; MAX_HOLDINGS],
        dropped: vec![id(); MAX_HOLDINGS],
        ..Renewal::default()
    };
    for largest in [
        Request::Register(registration),
        Request::Renew(renewal),
        Request::Claim(vec![claim; MAX_CLAIMS]),
        Request::Resolve { url: text.clone() },
    ] {
        let bytes = encode(&largest);
        assert_eq!(request(&bytes).unwrap(), largest, "{} bytes", bytes.len());
    }
    let peer = ListedPeer {
        address: PeerAddress::new(PeerId::random(), vec![address; 2 * MAX_ADDRESSES]),
        group: Group(u32::MAX),
        role: Role::Publisher,
        permille: u16::MAX,
        spare_upload: u64::MAX,
        awaits: true,
    };
    let list = PeerList {
        rule: Rule::ToppedUp,
        group: Group(u32::MAX),
        counts: Counts::default(),
        peers: vec![peer.clone(); MAX_PEERS],
        ask_again_ms: u32::MAX,
        bridges: vec![peer; MAX_BRIDGES],
        introduces: u16::MAX,
    };
    for largest in [Answer::Found(list), Answer::Resolved(vec![Text(text); MAX_CLAIMS])] {
        let bytes = encode(&largest);
        assert_eq!(answer(&bytes).unwrap(), largest, "{} bytes", bytes.len());
    }
}

#[test]
fn a_holding_names_its_guard_and_an_old_one_has_none() {
    let holding = Holding { resource: id(), permille: 7, guard: Some(Guard::from_bytes([9; 32])) };
    let bytes = encode(&holding);
    assert_eq!(decode::<Holding>(&bytes, MAX_MESSAGE).unwrap(), holding);
    // Before guards had names there was a flag in this place.
    let public = Holding { guard: None, ..holding };
    assert_eq!(decode::<Holding>(&encode(&public), MAX_MESSAGE).unwrap(), public);
    for flag in [0xf4, 0xf5, 0xf6] {
        let old = [&[0x83][..], &encode(&id()), &[7, flag]].concat();
        assert_eq!(decode::<Holding>(&old, MAX_MESSAGE).unwrap(), public);
    }
    let short = [&[0x83][..], &encode(&id()), &[7, 0x41, 0]].concat();
    assert!(decode::<Holding>(&short, MAX_MESSAGE).is_err());
}

#[test]
fn lists_over_their_limits_are_refused() {
    let list = |kind: u32, length: usize, item: &[u8]| {
        // Request::Claim, Answer::Resolved and Answer::Introductions are [kind, [list]].
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes).array(2).unwrap().u32(kind).unwrap().array(1).unwrap();
        Encoder::new(&mut bytes).array(length as u64).unwrap();
        bytes.extend(item.repeat(length));
        bytes
    };
    let claim = encode(&Claim { url: "u".into(), link: "l".into() });
    assert!(request(&list(6, MAX_CLAIMS, &claim)).is_ok());
    assert!(request(&list(6, MAX_CLAIMS + 1, &claim)).is_err());
    assert!(answer(&list(5, MAX_CLAIMS, &[0x61, b'l'])).is_ok());
    assert!(answer(&list(5, MAX_CLAIMS + 1, &[0x61, b'l'])).is_err());
    let named = encode(&Named(PeerId::random()));
    assert!(request(&list(10, MAX_UNREACHED, &named)).is_ok());
    assert!(request(&list(10, MAX_UNREACHED + 1, &named)).is_err());
    let somebody = encode(&PeerAddress::new(PeerId::random(), []));
    assert!(answer(&list(8, MAX_INTRODUCTIONS, &somebody)).is_ok());
    assert!(answer(&list(8, MAX_INTRODUCTIONS + 1, &somebody)).is_err());

    let renewal = |length: usize| {
        let mut bytes = Vec::new();
        let mut e = Encoder::new(&mut bytes);
        e.array(2).unwrap().u32(1).unwrap().array(1).unwrap().array(4).unwrap();
        e.array(0).unwrap().array(length as u64).unwrap();
        (0..length).for_each(|_| drop(e.encode(id())));
        e.u64(0).unwrap().encode(Received::default()).unwrap();
        request(&bytes)
    };
    assert!(renewal(MAX_HOLDINGS).is_ok());
    assert!(renewal(MAX_HOLDINGS + 1).is_err());

    let found = |length: usize| {
        let peer = ListedPeer {
            address: PeerAddress::new(PeerId::random(), []),
            group: Group(1),
            role: Role::Terminal,
            permille: 0,
            spare_upload: 0,
            awaits: false,
        };
        let mut bytes = Vec::new();
        let mut e = Encoder::new(&mut bytes);
        e.array(2).unwrap().u32(3).unwrap().array(1).unwrap().array(5).unwrap();
        e.encode(Rule::InRange).unwrap().encode(Group(1)).unwrap().encode(Counts::default()).unwrap();
        e.array(length as u64).unwrap();
        (0..length).for_each(|_| drop(e.encode(&peer)));
        e.u32(0).unwrap();
        answer(&bytes)
    };
    assert!(found(MAX_PEERS).is_ok());
    assert!(found(MAX_PEERS + 1).is_err());
}

#[test]
fn what_is_sent_is_cut_to_what_is_taken() {
    let holding = Holding { resource: id(), permille: 1, guard: None };
    let many =
        Request::Register(Registration { holdings: vec![holding; MAX_HOLDINGS + 9], ..registration() });
    let Ok(Request::Register(read)) = request(&encode(&many)) else { panic!("it doesn't arrive") };
    assert_eq!(read.holdings.len(), MAX_HOLDINGS);
}

#[test]
fn a_newer_program_may_add_fields() {
    let known = registration();
    let mut bytes = Vec::new();
    let mut e = Encoder::new(&mut bytes);
    // Request::Register with a second argument, of a registration with a tenth field.
    e.array(2).unwrap().u32(0).unwrap().array(2).unwrap();
    let fields = encode(&known);
    assert_eq!(fields.first(), Some(&0x89), "an array of nine");
    e.array(10).unwrap();
    e.writer_mut().extend(&fields[1..]);
    e.map(1).unwrap().str("later").unwrap().array(2).unwrap().u32(1).unwrap().null().unwrap();
    e.str("and more").unwrap();
    assert_eq!(request(&bytes).unwrap(), Request::Register(known));
}

#[test]
fn an_unknown_request_is_an_error_with_a_sentence() {
    let error = request(&[0x82, 0x18, 99, 0x80]).unwrap_err();
    assert!(error.to_string().starts_with("the message can't be read: "), "{error}");
    assert!(request(&[]).is_err());
    assert!(answer(&encode(&Request::Count(id()))).is_err());
}

#[test]
fn figures_add_up_and_never_wrap() {
    let some = Received { own_group: 5, other_groups: 3, publishers: 1 };
    let most = Received { own_group: u64::MAX, other_groups: u64::MAX, publishers: 0 };
    assert_eq!(some.plus(some).since(some), some);
    assert_eq!((some.all(), most.all(), most.plus(some).own_group), (9, u64::MAX, u64::MAX));
    // A counter that went back (a restart) counts from nothing, not from 2^64.
    assert_eq!(Received::default().since(some), Received::default());
}

#[test]
fn complete_means_all_of_it() {
    let holding = |permille| Holding { resource: id(), permille, guard: None };
    assert!(!holding(999).complete());
    assert!(holding(1000).complete());
}

proptest! {
    #[test]
    fn requests_survive(sent in requests()) {
        prop_assert_eq!(request(&encode(&sent)).unwrap(), sent);
    }

    #[test]
    fn answers_survive(sent in answers()) {
        prop_assert_eq!(answer(&encode(&sent)).unwrap(), sent);
    }

    #[test]
    fn any_bytes_give_an_answer(bytes in vec(any::<u8>(), 0..500)) {
        let _ = (request(&bytes), answer(&bytes));
    }

    #[test]
    fn a_damaged_message_gives_an_answer(
        asked in requests(), said in answers(), at in any::<usize>(), byte in any::<u8>()
    ) {
        for mut bytes in [encode(&asked), encode(&said)] {
            let at = at % bytes.len();
            let _ = (request(&bytes[..at]), answer(&bytes[..at]));
            bytes[at] = byte;
            let _ = (request(&bytes), answer(&bytes));
        }
    }
}
