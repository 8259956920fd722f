//! The messages of `/nearcast/tracker/1`: one request, one answer.
//!
//! A node is known by the peer id its connection proves and by the address the tracker observes (R1);
//! neither is in a message. Every node has one lease, and all it holds lives and dies with it.

use minicbor::{Decode, Encode};
use multiaddr::Multiaddr;

use crate::{
    Group, Guard, PeerAddress, PeerId, ResourceId, Role, Token, pieces::Reason, renewal::Ticket,
    token::guard_on_wire, wire,
};

/// The libp2p name of the protocol.
pub const PROTOCOL: &str = "/nearcast/tracker/1";
/// The most resources in one message. A node that holds more says the rest with renewals.
pub const MAX_HOLDINGS: usize = 1500;
/// The most peers in a [`PeerList`].
pub const MAX_PEERS: usize = 200;
/// The most round trips in a [`Renewal`].
pub const MAX_ROUND_TRIPS: usize = 8;
/// The most bridges beside a [`PeerList`].
pub const MAX_BRIDGES: usize = 4;
/// The most URLs a publisher claims in one message, and the most links in an answer.
pub const MAX_CLAIMS: usize = 16;
/// The most nodes that want to meet another one in one answer.
pub const MAX_INTRODUCTIONS: usize = 8;
/// The most nodes that couldn't be reached in one message: a list of them.
pub const MAX_UNREACHED: usize = 50;

/// What a node asks of the tracker.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Request {
    /// Here I am, and this is all I hold (R1). Replaces what was registered before.
    #[n(0)]
    Register(#[n(0)] Registration),
    /// I am still here; this has changed and this was received.
    #[n(1)]
    Renew(#[n(0)] Renewal),
    /// I am leaving.
    #[n(2)]
    Withdraw,
    /// Who holds this (R2, R3)?
    #[n(3)]
    Find(#[n(0)] Find),
    /// How many hold this (R7 b)?
    #[n(4)]
    Count(#[n(0)] ResourceId),
    /// What link stands for this URL (R6)?
    #[n(5)]
    Resolve {
        /// The `http(s)` URL a person opened.
        #[n(0)]
        #[cbor(with = "wire::text")]
        url: String,
    },
    /// These URLs of mine stand for these links; holds while my lease does.
    #[n(6)]
    Claim(
        #[n(0)]
        #[cbor(encode_with = "wire::list::encode::<MAX_CLAIMS, _, _, _>")]
        #[cbor(decode_with = "wire::list::decode::<MAX_CLAIMS, _, _>")]
        Vec<Claim>,
    ),
    /// Who wants to meet me? Asked by a node that strangers may not be able to dial, over QUIC from the socket that it
    /// listens on; it is answered as soon as somebody does. The asker then dials whom the answer names.
    #[n(8)]
    Await,
    /// Tell this node, which awaits introductions, that I want to meet it, and tell me where it is. Asked over QUIC
    /// from the socket that the asker listens on: the two then dial one another at once.
    #[n(9)]
    Introduce(
        #[n(0)]
        #[cbor(with = "wire::peer_id")]
        PeerId,
    ),
    /// I couldn't dial these, whom you listed. The tracker believes nobody but itself: it dials them again.
    #[n(10)]
    Unreached(
        #[n(0)]
        #[cbor(encode_with = "wire::list::encode::<MAX_UNREACHED, _, _, _>")]
        #[cbor(decode_with = "wire::list::decode::<MAX_UNREACHED, _, _>")]
        Vec<Named>,
    ),
    /// How many hold this protected resource (R7 b)? The token is needed as in [`Request::Find`].
    #[n(16)]
    CountProtected(#[n(0)] Find),
    /// Who holds this, seen from another node's address (R7 b)? Answered with [`Answer::Found`] to a publisher
    /// that holds all of the resource and has a lease: it tells whom it doesn't serve where to go.
    #[n(7)]
    FindFor {
        /// The resource.
        #[n(0)]
        resource: ResourceId,
        /// The IP address of the node that came to the publisher.
        #[n(1)]
        #[cbor(with = "wire::text")]
        address: String,
    },
}

/// What the tracker answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    /// Registered or renewed.
    #[n(0)]
    Leased(#[n(0)] Lease),
    /// The tracker doesn't know this node (it restarted, or the lease ran out): register anew.
    #[n(1)]
    Unknown,
    /// Gone, as asked.
    #[n(2)]
    Withdrawn,
    /// The peer list.
    #[n(3)]
    Found(#[n(0)] PeerList),
    /// The count.
    #[n(4)]
    Counted(#[n(0)] Counts),
    /// The links that publishers claim for a URL; to be believed only if the URL's origin confirms one.
    #[n(5)]
    Resolved(
        #[n(0)]
        #[cbor(encode_with = "wire::list::encode::<MAX_CLAIMS, _, _, _>")]
        #[cbor(decode_with = "wire::list::decode::<MAX_CLAIMS, _, _>")]
        Vec<Text>,
    ),
    /// Not now, or not at all.
    #[n(6)]
    Refused {
        /// Why, in a sentence for a person.
        #[n(0)]
        #[cbor(with = "wire::text")]
        reason: String,
        /// When asking again makes sense, in ms; 0 if never.
        #[n(1)]
        retry_after_ms: u32,
    },
    /// The URLs are noted.
    #[n(7)]
    Claimed,
    /// These want to meet the asker; nobody, if it has waited for long enough to ask anew.
    #[n(8)]
    Introductions(
        #[n(0)]
        #[cbor(encode_with = "wire::list::encode::<MAX_INTRODUCTIONS, _, _, _>")]
        #[cbor(decode_with = "wire::list::decode::<MAX_INTRODUCTIONS, _, _>")]
        Vec<PeerAddress>,
    ),
    /// That node knows; this is where its datagrams come from.
    #[n(9)]
    Introduced(
        #[n(0)]
        #[cbor(with = "wire::addresses")]
        Vec<Multiaddr>,
    ),
    /// So noted.
    #[n(10)]
    Noted,
    /// The resource is protected, and the token is missing or isn't good for it.
    #[n(16)]
    Denied {
        /// What is wrong with it, as a code.
        #[n(0)]
        why: Reason,
        /// The same in a sentence for a person.
        #[n(1)]
        #[cbor(with = "wire::text")]
        reason: String,
    },
}

/// A text of at most [`wire::MAX_TEXT`] bytes in a list.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Text(
    #[n(0)]
    #[cbor(with = "wire::text")]
    pub String,
);

/// A peer id in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Named(
    #[n(0)]
    #[cbor(with = "wire::peer_id")]
    pub PeerId,
);

/// A URL that stands for a link.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Claim {
    /// The URL a viewer may open.
    #[n(0)]
    #[cbor(with = "wire::text")]
    pub url: String,
    /// The `nearcast:` link it stands for.
    #[n(1)]
    #[cbor(with = "wire::text")]
    pub link: String,
}

/// All a node says of itself (R1).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Registration {
    /// The program and its version, such as `nearcast/0.1.0`.
    #[n(0)]
    #[cbor(with = "wire::text")]
    pub version: String,
    /// What the node is there for.
    #[n(1)]
    pub role: Role,
    /// The port it listens on for TCP; 0 if it doesn't.
    #[n(2)]
    pub tcp_port: u16,
    /// The port it listens on for QUIC; 0 if it doesn't.
    #[n(3)]
    pub quic_port: u16,
    /// How it is reached, as far as it knows.
    #[n(4)]
    pub reach: Reach,
    /// What it is connected by, as far as it knows.
    #[n(5)]
    pub medium: Medium,
    /// Its addresses on the local network, given only to nodes behind the same public address.
    #[n(6)]
    #[cbor(with = "wire::addresses")]
    pub local: Vec<Multiaddr>,
    /// What it can upload, complete or partial.
    #[n(7)]
    #[cbor(encode_with = "wire::list::encode::<MAX_HOLDINGS, _, _, _>")]
    #[cbor(decode_with = "wire::list::decode::<MAX_HOLDINGS, _, _>")]
    pub holdings: Vec<Holding>,
    /// Upload it could still give, in bit/s.
    #[n(8)]
    pub spare_upload: u64,
}

/// How a node is reached from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum Reach {
    /// Nobody knows yet.
    #[default]
    #[n(0)]
    Unknown,
    /// Anyone can dial it.
    #[n(1)]
    Public,
    /// It sits behind address translation.
    #[n(2)]
    Nat,
    /// Only through a relay.
    #[n(3)]
    Relayed,
}

/// What a node is connected by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum Medium {
    /// Nobody knows.
    #[default]
    #[n(0)]
    Unknown,
    /// A cable.
    #[n(1)]
    Wired,
    /// A radio network.
    #[n(2)]
    Wireless,
    /// A line that is paid by the byte.
    #[n(3)]
    Metered,
}

/// One resource that a node can upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Holding {
    /// The resource.
    #[n(0)]
    pub resource: ResourceId,
    /// How much of it is held, in thousandths; 1000 only if it is complete.
    #[n(1)]
    pub permille: u16,
    /// Whose token a finder must show, if the resource is protected.
    #[n(2)]
    #[cbor(with = "guard_on_wire")]
    pub guard: Option<Guard>,
}

impl Holding {
    /// Whether the node holds all of it.
    pub fn complete(&self) -> bool {
        self.permille >= 1000
    }
}

/// What has changed since the last registration or renewal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Renewal {
    /// What is held now and was not, or is held to another degree.
    #[n(0)]
    #[cbor(encode_with = "wire::list::encode::<MAX_HOLDINGS, _, _, _>")]
    #[cbor(decode_with = "wire::list::decode::<MAX_HOLDINGS, _, _>")]
    pub held: Vec<Holding>,
    /// What is held no more.
    #[n(1)]
    #[cbor(encode_with = "wire::list::encode::<MAX_HOLDINGS, _, _, _>")]
    #[cbor(decode_with = "wire::list::decode::<MAX_HOLDINGS, _, _>")]
    pub dropped: Vec<ResourceId>,
    /// Upload it could still give, in bit/s.
    #[n(2)]
    pub spare_upload: u64,
    /// What it received since the last renewal: the operator's proof.
    #[n(3)]
    pub received: Received,
    /// The shortest round trips to nodes of other groups since the last renewal.
    #[n(4)]
    #[cbor(default)]
    #[cbor(encode_with = "wire::list::encode::<MAX_ROUND_TRIPS, _, _, _>")]
    #[cbor(decode_with = "wire::list::decode::<MAX_ROUND_TRIPS, _, _>")]
    pub round_trips: Vec<RoundTrip>,
}

/// How far another group is, as one node has measured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct RoundTrip {
    /// The other group.
    #[n(0)]
    pub group: Group,
    /// In ms.
    #[n(1)]
    pub ms: u16,
}

/// Payload bytes received, by where they came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Received {
    /// From terminals of the own group.
    #[n(0)]
    pub own_group: u64,
    /// From terminals of other groups.
    #[n(1)]
    pub other_groups: u64,
    /// From publishers.
    #[n(2)]
    pub publishers: u64,
}

impl Received {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            own_group: self.own_group.saturating_add(other.own_group),
            other_groups: self.other_groups.saturating_add(other.other_groups),
            publishers: self.publishers.saturating_add(other.publishers),
        }
    }

    /// What came after `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            own_group: self.own_group.saturating_sub(earlier.own_group),
            other_groups: self.other_groups.saturating_sub(earlier.other_groups),
            publishers: self.publishers.saturating_sub(earlier.publishers),
        }
    }

    /// From everyone.
    pub fn all(self) -> u64 {
        self.own_group.saturating_add(self.other_groups).saturating_add(self.publishers)
    }
}

/// A node's lease.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Lease {
    /// How long it holds, in ms; renew at half of it.
    #[n(0)]
    pub lease_ms: u32,
    /// The group the tracker derived from the observed address.
    #[n(1)]
    pub group: Group,
    /// The address the tracker observed, with the registered port.
    #[n(2)]
    #[cbor(with = "wire::addresses")]
    pub observed: Vec<Multiaddr>,
    /// How to renew it by datagram, if this tracker takes those.
    #[n(3)]
    pub ticket: Option<Ticket>,
    /// What the tracker knows from dialling the node at that address: [`Reach::Public`] if it could,
    /// [`Reach::Nat`] if it couldn't.
    #[n(4)]
    #[cbor(default)]
    pub reach: Reach,
    /// The QUIC port at which the tracker introduces nodes; 0 if it doesn't.
    #[n(5)]
    #[cbor(default)]
    pub introduces: u16,
}

/// A request for a peer list.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Find {
    /// The resource.
    #[n(0)]
    pub resource: ResourceId,
    /// What a protected resource asks for, bound to the asker's peer id ([`crate::token`]).
    #[n(1)]
    pub token: Option<Token>,
    /// The last list didn't suffice: nothing is moving.
    #[n(2)]
    pub stalled: bool,
}

/// How many nodes hold a resource; the asker isn't counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Counts {
    /// Holders in the asker's group.
    #[n(0)]
    pub in_group: u32,
    /// Holders in all other groups.
    #[n(1)]
    pub outside: u32,
    /// Terminals, in any group, that hold all of it.
    #[n(2)]
    pub complete_terminals: u32,
    /// Terminals in the asker's group that hold all of it.
    #[n(3)]
    pub complete_in_group: u32,
}

/// Which part of R3 made a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Rule {
    /// low ≤ n ≤ high: exactly the group's holders.
    #[n(0)]
    InRange,
    /// n > high: a random `high` of the group's holders.
    #[n(1)]
    AboveRange,
    /// n < low: all of the group, filled up from outside.
    #[n(2)]
    ToppedUp,
}

/// The tracker's answer to [`Find`] (资源列表).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PeerList {
    /// Which part of R3 made it.
    #[n(0)]
    pub rule: Rule,
    /// The asker's group.
    #[n(1)]
    pub group: Group,
    /// How many hold the resource.
    #[n(2)]
    pub counts: Counts,
    /// The peers, the own group first.
    #[n(3)]
    #[cbor(encode_with = "wire::list::encode::<MAX_PEERS, _, _, _>")]
    #[cbor(decode_with = "wire::list::decode::<MAX_PEERS, _, _>")]
    pub peers: Vec<ListedPeer>,
    /// When to ask again, in ms.
    #[n(4)]
    pub ask_again_ms: u32,
    /// A few holders outside the group, beside the list proper, for an asker that stands still: what its
    /// group hasn't got among itself can't come from within (partition merging, Le Blond et al. 2011).
    #[n(5)]
    #[cbor(default)]
    #[cbor(encode_with = "wire::list::encode::<MAX_BRIDGES, _, _, _>")]
    #[cbor(decode_with = "wire::list::decode::<MAX_BRIDGES, _, _>")]
    pub bridges: Vec<ListedPeer>,
    /// As [`Lease::introduces`].
    #[n(6)]
    #[cbor(default)]
    pub introduces: u16,
}

/// One peer of a list.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ListedPeer {
    /// Who it is and where it may be dialled; local addresses first where they were given.
    #[n(0)]
    pub address: PeerAddress,
    /// Its group.
    #[n(1)]
    pub group: Group,
    /// What it is there for.
    #[n(2)]
    pub role: Role,
    /// How much of the resource it holds, in thousandths.
    #[n(3)]
    pub permille: u16,
    /// Upload it could still give, in bit/s.
    #[n(4)]
    pub spare_upload: u64,
    /// Whether it awaits introductions at this tracker, since strangers may not be able to dial it.
    #[n(5)]
    #[cbor(default)]
    pub awaits: bool,
}

impl ListedPeer {
    /// The peer's identity.
    pub fn peer(&self) -> PeerId {
        self.address.peer
    }
}

#[cfg(test)]
mod tests;
