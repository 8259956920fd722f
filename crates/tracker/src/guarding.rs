//! Protected resources: whose holders are found with a token only (DESIGN §5.7).
//!
//! The swarm knows nothing of tokens. Holders of a protected resource are kept under an id that stands for guard and
//! resource ([`Guard::swarm_of`]), which no file has and no message may name; so counts and R3 stay exact, and
//! what the public holds of the same bytes is another swarm.

use std::{
    borrow::Cow,
    collections::HashSet,
    time::{SystemTime, UNIX_EPOCH},
};

use nearcast_protocol::{
    Guard, PeerId, ResourceId, TokenError,
    token::{Verifier, is_protected_swarm},
    tracker::{Answer, Find, Holding},
};

/// Resources that are remembered to be protected, twice as many at most: so that who asks without a token hears why
/// nobody is found.
const KNOWN: usize = 32 * 1024;

/// What a tracker knows of protected resources, and of tokens.
#[derive(Default)]
pub(crate) struct Guarding {
    verifier: Verifier,
    /// In two generations: when the younger is full, the older is forgotten.
    known: [HashSet<ResourceId>; 2],
    denied: u64,
}

impl Guarding {
    /// How often somebody was refused for want of a good token.
    pub fn denied(&self) -> u64 {
        self.denied
    }

    /// What a node says it holds, under the ids that the swarm keeps it by. What names such an id itself is left out.
    pub fn held<'a>(&mut self, holdings: &'a [Holding]) -> Cow<'a, [Holding]> {
        let is_public = |holding: &Holding| holding.guard.is_none() && !is_protected_swarm(&holding.resource);
        if holdings.iter().all(is_public) {
            return Cow::Borrowed(holdings);
        }
        let kept = holdings.iter().filter(|holding| !is_protected_swarm(&holding.resource));
        let named = kept.map(|holding| match holding.guard {
            Some(guard) => {
                self.note(holding.resource);
                Holding { resource: guard.swarm_of(&holding.resource), ..*holding }
            }
            None => *holding,
        });
        Cow::Owned(named.collect())
    }

    /// Under which id the swarm keeps what is asked for without a token: what the public holds, or what the asker
    /// itself guards, as its connection proves. `held` says whether anybody holds what is kept under an id.
    ///
    /// # Errors
    /// The answer, if the id is none of a file's.
    pub fn named(
        &mut self,
        resource: &ResourceId,
        peer: &PeerId,
        held: impl Fn(&ResourceId) -> bool,
    ) -> Result<ResourceId, Answer> {
        if is_protected_swarm(resource) {
            return Err(self.deny(TokenError::Missing));
        }
        // Most films are public, and for those this is all it costs.
        if !self.knows(resource) {
            return Ok(*resource);
        }
        let own = Guard::of(peer).map(|guard| guard.swarm_of(resource));
        Ok(own.filter(held).unwrap_or(*resource))
    }

    /// Under which id the swarm keeps what is asked for. With a token, only what it is good for is looked at.
    ///
    /// # Errors
    /// The answer, if the token isn't good.
    pub fn find(
        &mut self,
        find: &Find,
        peer: &PeerId,
        held: impl Fn(&ResourceId) -> bool,
    ) -> Result<ResourceId, Answer> {
        if find.token.is_none() || is_protected_swarm(&find.resource) {
            return self.named(&find.resource, peer, held);
        }
        match self.verifier.check(find.token.as_ref(), None, &find.resource, peer, now()) {
            Ok(guard) => Ok(guard.swarm_of(&find.resource)),
            Err(error) => Err(self.deny(error)),
        }
    }

    /// The answer to who asked without a token for what nobody holds in public, if it is a protected film.
    pub fn hidden(&mut self, find: &Find) -> Option<Answer> {
        let hidden = find.token.is_none() && self.knows(&find.resource);
        hidden.then(|| self.deny(TokenError::Missing))
    }

    /// Refuses, and counts it.
    pub fn deny(&mut self, error: TokenError) -> Answer {
        self.denied += 1;
        Answer::Denied { why: error.reason(), reason: error.to_string() }
    }

    fn knows(&self, resource: &ResourceId) -> bool {
        self.known.iter().any(|known| known.contains(resource))
    }

    fn note(&mut self, resource: ResourceId) {
        let [young, old] = &mut self.known;
        if young.len() >= KNOWN {
            *old = std::mem::take(young);
        }
        young.insert(resource);
    }
}

/// Seconds since 1970: tokens are made on other machines, so their times are of the calendar.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use nearcast_network::Keypair;
    use nearcast_protocol::{
        Role, Token,
        pieces::Reason,
        token::{SigningKey, Term},
        tracker::{Counts, Medium, Reach, Registration, Renewal, Request},
    };

    use super::*;
    use crate::{GroupTable, Rules, Server, Swarm};

    const FILM: ResourceId = ResourceId::from_bytes([7; 32]);

    struct Node(PeerId);

    impl Node {
        fn new() -> Self {
            Self(Keypair::generate_ed25519().public().to_peer_id())
        }

        fn ask(&self, server: &Server, request: Request) -> Answer {
            server.answer(self.0, "203.0.113.1".parse().unwrap(), &request)
        }

        fn find(&self, server: &Server, token: Option<Token>) -> Result<usize, Reason> {
            match self.ask(server, Request::Find(Find { resource: FILM, token, stalled: false })) {
                Answer::Found(list) => Ok(list.peers.len()),
                Answer::Denied { why, .. } => Err(why),
                other => panic!("{other:?}"),
            }
        }

        fn register(&self, server: &Server, guard: Option<Guard>) {
            let registration = Registration {
                version: String::new(),
                role: Role::Publisher,
                tcp_port: 1,
                quic_port: 0,
                reach: Reach::Unknown,
                medium: Medium::Unknown,
                local: Vec::new(),
                holdings: vec![Holding { resource: FILM, permille: 1000, guard }],
                spare_upload: 0,
            };
            assert!(matches!(self.ask(server, Request::Register(registration)), Answer::Leased(_)));
        }
    }

    fn identity() -> Keypair {
        Keypair::ed25519_from_bytes([1; 32]).unwrap()
    }

    fn guard() -> Guard {
        Guard::of(&identity().public().to_peer_id()).unwrap()
    }

    fn token(peer: &PeerId, from: u64, until: u64) -> Option<Token> {
        let key = SigningKey::certify(&identity(), [2; 32], Term { from: 0, until: u64::MAX }, 0)?;
        key.token(FILM, Term { from, until }, [3; 32])?.bind(*peer)?.to_token()
    }

    fn server() -> Server {
        Server::new(Swarm::new(Rules::default()), GroupTable::default())
    }

    #[test]
    fn who_has_a_token_finds_the_holders_and_who_has_none_hears_why_not() {
        let (server, holder, viewer) = (server(), Node::new(), Node::new());
        assert_eq!(viewer.find(&server, None), Ok(0), "nobody has heard of it");
        holder.register(&server, Some(guard()));
        let good = token(&viewer.0, 0, u64::MAX);
        assert_eq!(viewer.find(&server, good.clone()), Ok(1));
        assert_eq!(viewer.find(&server, None), Err(Reason::NotAllowed));
        assert_eq!(viewer.find(&server, token(&viewer.0, 0, 1)), Err(Reason::TokenExpired));
        assert_eq!(viewer.find(&server, token(&viewer.0, u64::MAX - 1, u64::MAX)), Err(Reason::TokenEarly));
        assert_eq!(Node::new().find(&server, good.clone()), Err(Reason::TokenOfTerminal), "forwarded");
        assert_eq!(viewer.find(&server, Token::new("nonsense")), Err(Reason::TokenWrong));
        assert_eq!(server.denied(), 5);
        let counted = |token| {
            viewer.ask(&server, Request::CountProtected(Find { resource: FILM, token, stalled: false }))
        };
        let counts = Counts { in_group: 1, ..Counts::default() };
        assert_eq!(counted(good), Answer::Counted(counts));
        assert!(matches!(counted(None), Answer::Denied { why: Reason::NotAllowed, .. }));
        assert_eq!(viewer.ask(&server, Request::Count(FILM)), Answer::Counted(Counts::default()));
    }

    #[test]
    fn the_guard_itself_needs_no_token() {
        let (server, holder, viewer) = (server(), Node::new(), Node::new());
        let publisher = Node(identity().public().to_peer_id());
        holder.register(&server, Some(guard()));
        publisher.register(&server, Some(guard()));
        assert_eq!(publisher.find(&server, None), Ok(1));
        let counted = |node: &Node| match node.ask(&server, Request::Count(FILM)) {
            Answer::Counted(counts) => counts.in_group,
            other => panic!("{other:?}"),
        };
        assert_eq!((counted(&publisher), counted(&viewer)), (1, 0));
        // Another publisher of the same film in public sees what the public sees.
        let other = Node::new();
        other.register(&server, None);
        assert_eq!((other.find(&server, None), counted(&viewer)), (Err(Reason::NotAllowed), 1));
    }

    #[test]
    fn nobody_reaches_the_swarm_by_its_own_name() {
        let (server, holder, viewer) = (server(), Node::new(), Node::new());
        holder.register(&server, Some(guard()));
        let swarm = guard().swarm_of(&FILM);
        let find = Find { resource: swarm, token: None, stalled: false };
        assert!(matches!(viewer.ask(&server, Request::Find(find)), Answer::Denied { .. }));
        assert!(matches!(viewer.ask(&server, Request::Count(swarm)), Answer::Denied { .. }));
        // Nor is anybody listed in it or taken out of it by that name.
        let held = vec![Holding { resource: swarm, permille: 1000, guard: None }];
        viewer.register(&server, None);
        viewer.ask(&server, Request::Renew(Renewal { held, ..Renewal::default() }));
        let asker = Node::new();
        assert_eq!(asker.find(&server, token(&asker.0, 0, u64::MAX)), Ok(1));
    }

    #[test]
    fn the_public_and_each_guard_have_swarms_of_their_own() {
        let (server, viewer) = (server(), Node::new());
        let [public, guarded, others] = [Node::new(), Node::new(), Node::new()];
        public.register(&server, None);
        guarded.register(&server, Some(guard()));
        others.register(&server, Some(Guard::from_bytes([9; 32])));
        assert_eq!(viewer.find(&server, None), Ok(1), "what the public holds is the public's");
        assert_eq!(viewer.find(&server, token(&viewer.0, 0, u64::MAX)), Ok(1));
        // What is held no more is told by the same name.
        let gone = vec![Holding { resource: FILM, permille: 0, guard: Some(guard()) }];
        guarded.ask(&server, Request::Renew(Renewal { held: gone, ..Renewal::default() }));
        assert_eq!(viewer.find(&server, token(&viewer.0, 0, u64::MAX)), Ok(0));
        assert_eq!(viewer.find(&server, None), Ok(1));
    }

    #[test]
    fn what_is_public_is_passed_on_as_it_came() {
        let mut guarding = Guarding::default();
        let holdings = [Holding { resource: FILM, permille: 1, guard: None }];
        assert!(matches!(guarding.held(&holdings), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut guarding = Guarding::default();
        for number in 0..3 * KNOWN as u32 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            guarding.note(ResourceId::from_bytes(id));
        }
        assert!(guarding.known.iter().map(HashSet::len).sum::<usize>() <= 2 * KNOWN);
    }
}
