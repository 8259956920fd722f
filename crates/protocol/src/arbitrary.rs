//! Any message there can be, for the property tests of this crate.

use libp2p_identity::Keypair;
use multiaddr::{Multiaddr, Protocol};
use proptest::{
    collection::vec,
    option,
    prelude::{Strategy, any, prop_oneof},
    sample::select,
    strategy::Union,
};
use url::Url;

use crate::{
    Blocks, Group, Guard, Link, PeerAddress, PeerId, ResourceId, Role, Token,
    link::{MAX_SIZE, is_file_name},
    pieces::{Class, Data, Frame, Hello, Importing, PieceRequest, Reason, Refuse},
    renewal::{Key, Ticket},
    tracker::{
        Answer, Claim, Counts, Find, Holding, Lease, ListedPeer, MAX_BRIDGES, MAX_INTRODUCTIONS,
        MAX_ROUND_TRIPS, Medium, Named, PeerList, Reach, Received, Registration, Renewal, Request, RoundTrip,
        Rule, Text,
    },
    wire::MAX_ADDRESSES,
};

pub fn ids() -> impl Strategy<Value = ResourceId> {
    any::<[u8; 32]>().prop_map(ResourceId::from_bytes)
}

pub fn peers() -> impl Strategy<Value = PeerId> {
    any::<[u8; 32]>().prop_map(|secret| {
        Keypair::ed25519_from_bytes(secret).expect("any 32 bytes are a key").public().to_peer_id()
    })
}

/// Addresses of the kinds that nodes listen on, with and without an identity.
pub fn addresses() -> impl Strategy<Value = Multiaddr> {
    let host = prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| Protocol::Ip4(ip.into())),
        any::<[u8; 16]>().prop_map(|ip| Protocol::Ip6(ip.into())),
        "[a-z]{1,20}\\.example".prop_map(|name| Protocol::Dns(name.into())),
    ];
    (host, any::<(u16, bool)>(), option::of(peers())).prop_map(|(host, (port, quic), peer)| {
        let address = Multiaddr::empty().with(host);
        let address = match quic {
            true => address.with(Protocol::Udp(port)).with(Protocol::QuicV1),
            false => address.with(Protocol::Tcp(port)),
        };
        peer.map_or(address.clone(), |peer| address.with(Protocol::P2p(peer)))
    })
}

pub fn peer_addresses() -> impl Strategy<Value = PeerAddress> {
    (peers(), vec(addresses(), 0..=MAX_ADDRESSES))
        .prop_map(|(peer, addresses)| PeerAddress { peer, addresses })
}

pub fn tokens() -> impl Strategy<Value = Token> {
    "\\PC{0,60}".prop_map(|text| Token::new(text).expect("the text is short"))
}

/// File names with all that a link must escape.
pub fn file_names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z %&#?+=;:@'\"<>|{}^`~,!$()*\\[\\]._近投é🐇-]{1,40}",
        "\\PC{1,60}",
        "%[0-9a-fA-F]{0,2}[a-z]{1,9}",
    ]
    .prop_filter("not every text is a file name", |name| is_file_name(name))
}

pub fn sources() -> impl Strategy<Value = Url> {
    "https?://[a-z]{1,9}\\.example(:[1-9][0-9]{1,3})?/[a-zA-Z0-9%&#?+=/. ]{0,30}"
        .prop_filter_map("not every text is a URL", |text| Url::parse(&text).ok())
}

pub fn links() -> impl Strategy<Value = Link> {
    let places = (vec(addresses(), 0..4), vec(sources(), 0..4));
    (ids(), file_names(), 0..=MAX_SIZE, places, option::of(tokens())).prop_map(
        |(id, name, size, (trackers, sources), token)| Link { id, name, size, trackers, sources, token },
    )
}

pub fn blocks() -> impl Strategy<Value = Blocks> {
    let near = vec((0..500u64, 1..20u64), 0..30);
    let far = vec((any::<u64>(), 1..u64::MAX), 0..5);
    prop_oneof![near, far]
        .prop_map(|runs| runs.into_iter().map(|(first, count)| first..first.saturating_add(count)).collect())
}

fn roles() -> impl Strategy<Value = Role> {
    select(&[Role::Terminal, Role::Publisher][..])
}

fn groups() -> impl Strategy<Value = Group> {
    any::<u32>().prop_map(Group)
}

fn holdings() -> impl Strategy<Value = Holding> {
    let guards = option::of(any::<[u8; 32]>().prop_map(Guard::from_bytes));
    (ids(), any::<u16>(), guards).prop_map(|(resource, permille, guard)| Holding {
        resource,
        permille,
        guard,
    })
}

fn registrations() -> impl Strategy<Value = Registration> {
    let reach = select(&[Reach::Unknown, Reach::Public, Reach::Nat, Reach::Relayed][..]);
    let medium = select(&[Medium::Unknown, Medium::Wired, Medium::Wireless, Medium::Metered][..]);
    let lists = (vec(addresses(), 0..=MAX_ADDRESSES), vec(holdings(), 0..20));
    ("\\PC{0,40}", roles(), any::<(u16, u16, u64)>(), reach, medium, lists).prop_map(
        |(version, role, (tcp_port, quic_port, spare_upload), reach, medium, (local, holdings))| {
            Registration { version, role, tcp_port, quic_port, reach, medium, local, holdings, spare_upload }
        },
    )
}

fn renewals() -> impl Strategy<Value = Renewal> {
    let trip = (groups(), any::<u16>()).prop_map(|(group, ms)| RoundTrip { group, ms });
    let numbers = (any::<u64>(), any::<(u64, u64, u64)>());
    (vec(holdings(), 0..9), vec(ids(), 0..9), numbers, vec(trip, 0..=MAX_ROUND_TRIPS)).prop_map(
        |(held, dropped, (spare_upload, (own_group, other_groups, publishers)), round_trips)| Renewal {
            held,
            dropped,
            spare_upload,
            received: Received { own_group, other_groups, publishers },
            round_trips,
        },
    )
}

pub fn requests() -> impl Strategy<Value = Request> {
    let find = || {
        (ids(), option::of(tokens()), any::<bool>()).prop_map(|(resource, token, stalled)| Find {
            resource,
            token,
            stalled,
        })
    };
    let claim = ("\\PC{0,80}", "\\PC{0,80}").prop_map(|(url, link)| Claim { url, link });
    prop_oneof![
        registrations().prop_map(Request::Register),
        renewals().prop_map(Request::Renew),
        select(vec![Request::Withdraw, Request::Await]),
        peers().prop_map(Request::Introduce),
        vec(peers().prop_map(Named), 0..9).prop_map(Request::Unreached),
        find().prop_map(Request::Find),
        ids().prop_map(Request::Count),
        find().prop_map(Request::CountProtected),
        (ids(), "\\PC{0,80}").prop_map(|(resource, address)| Request::FindFor { resource, address }),
        "\\PC{0,80}".prop_map(|url| Request::Resolve { url }),
        vec(claim, 0..9).prop_map(Request::Claim),
    ]
}

fn counts() -> impl Strategy<Value = Counts> {
    any::<[u32; 4]>().prop_map(|[in_group, outside, complete_terminals, complete_in_group]| Counts {
        in_group,
        outside,
        complete_terminals,
        complete_in_group,
    })
}

fn peer_lists() -> impl Strategy<Value = PeerList> {
    let peer = || {
        (peer_addresses(), groups(), roles(), any::<(u16, u64, bool)>()).prop_map(
            |(address, group, role, (permille, spare_upload, awaits))| ListedPeer {
                address,
                group,
                role,
                permille,
                spare_upload,
                awaits,
            },
        )
    };
    let rule = select(&[Rule::InRange, Rule::AboveRange, Rule::ToppedUp][..]);
    let numbers = any::<(u32, u16)>();
    (rule, groups(), counts(), vec(peer(), 0..9), numbers, vec(peer(), 0..=MAX_BRIDGES)).prop_map(
        |(rule, group, counts, peers, (ask_again_ms, introduces), bridges)| PeerList {
            rule,
            group,
            counts,
            peers,
            ask_again_ms,
            bridges,
            introduces,
        },
    )
}

pub fn answers() -> impl Strategy<Value = Answer> {
    let ticket = any::<(u16, [u8; 32], u32)>().prop_map(|(port, node, mark)| {
        let key = Key::of(&[1; 32], &node, [10, 0, 0, 1].into());
        Ticket { port, key, mark }
    });
    let reach = select(&[Reach::Unknown, Reach::Public, Reach::Nat][..]);
    let lease =
        (any::<(u32, u16)>(), groups(), vec(addresses(), 0..=MAX_ADDRESSES), option::of(ticket), reach)
            .prop_map(|((lease_ms, introduces), group, observed, ticket, reach)| Lease {
                lease_ms,
                group,
                observed,
                ticket,
                reach,
                introduces,
            });
    prop_oneof![
        lease.prop_map(Answer::Leased),
        select(vec![Answer::Unknown, Answer::Withdrawn, Answer::Claimed, Answer::Noted]),
        peer_lists().prop_map(Answer::Found),
        counts().prop_map(Answer::Counted),
        vec(peer_addresses(), 0..=MAX_INTRODUCTIONS).prop_map(Answer::Introductions),
        vec(addresses(), 0..=MAX_ADDRESSES).prop_map(Answer::Introduced),
        vec("\\PC{0,80}".prop_map(Text), 0..9).prop_map(Answer::Resolved),
        ("\\PC{0,80}", any::<u32>())
            .prop_map(|(reason, retry_after_ms)| Answer::Refused { reason, retry_after_ms }),
        ("\\PC{0,80}", reasons()).prop_map(|(reason, why)| Answer::Denied { why, reason }),
    ]
}

pub fn frames() -> impl Strategy<Value = Frame> {
    let hello = (any::<(u16, u64)>(), ids(), option::of(tokens()), roles(), groups()).prop_map(
        |((version, size), resource, token, role, group)| Hello {
            version,
            resource,
            size,
            token,
            role,
            group,
        },
    );
    let class = select(&[Class::Urgent, Class::Ready, Class::Prefetch, Class::Background][..]);
    let request = (any::<(u32, u64, u64, u32, u8)>(), class).prop_map(
        |((id, first, count, deadline_ms, known), class)| PieceRequest {
            id,
            first,
            count,
            class,
            deadline_ms,
            known,
        },
    );
    let data = (any::<(u32, bool)>(), vec(any::<u8>(), 0..300)).prop_map(|((id, last), payload)| Data {
        id,
        last,
        payload: payload.into(),
    });
    let refuse = (option::of(any::<u32>()), reasons(), any::<u32>(), vec(peer_addresses(), 0..5))
        .prop_map(|(id, reason, retry_after_ms, peers)| Refuse { id, reason, retry_after_ms, peers });
    let importing =
        any::<(u64, u64, u32)>().prop_map(|(first, count, lease_ms)| Importing { first, count, lease_ms });
    Union::new([
        hello.prop_map(Frame::Hello).boxed(),
        blocks().prop_map(Frame::Have).boxed(),
        request.prop_map(Frame::Request).boxed(),
        data.prop_map(Frame::Data).boxed(),
        any::<u32>().prop_map(Frame::Cancel).boxed(),
        refuse.prop_map(Frame::Refuse).boxed(),
        importing.prop_map(Frame::Importing).boxed(),
        blocks().prop_map(Frame::Gone).boxed(),
    ])
}

fn reasons() -> impl Strategy<Value = Reason> {
    use Reason::{
        Busy, EnoughHolders, Invalid, KeyRetired, NotAllowed, NotHeld, Paused, TokenEarly, TokenExpired,
        TokenOfOther, TokenOfTerminal, TokenWrong, UnknownGuard,
    };
    let of_streams = [NotHeld, Busy, EnoughHolders, Invalid, Paused];
    let of_tokens = [
        NotAllowed,
        TokenWrong,
        TokenExpired,
        TokenEarly,
        TokenOfOther,
        TokenOfTerminal,
        KeyRetired,
        UnknownGuard,
    ];
    select([&of_streams[..], &of_tokens].concat())
}
