//! Who may have what this node holds, and what this node shows to others (DESIGN §5.7).
//!
//! What came under a guard is offered under it alone: whoever asks must show that guard's token, bound to the peer
//! id that its connection proves. A link's token never leaves this node; what is shown is bound to this one.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use nearcast_protocol::{Guard, Link, LinkToken, PeerId, ResourceId, Token, TokenError, token::Verifier};

/// Which files a publisher puts up for bearers of its tokens only.
#[derive(Clone)]
pub struct Protect(Arc<dyn Fn(&Path) -> bool + Send + Sync>);

impl Protect {
    /// Those files for which `covers` says so.
    pub fn new(covers: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(covers))
    }

    /// Whether this file is one.
    pub fn covers(&self, path: &Path) -> bool {
        (self.0)(path)
    }
}

impl fmt::Debug for Protect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protect")
    }
}

/// What all resources of a node share for judging tokens.
pub(crate) type Judge = Arc<Mutex<Verifier>>;

/// The protection of one resource in use.
pub(crate) struct Access {
    own: PeerId,
    resource: ResourceId,
    judge: Judge,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    guard: Option<Guard>,
    /// What others are shown: bound to this node.
    shown: Option<Token>,
}

impl Access {
    /// The protection of what is held under `guard`, and fetched with the token of `link`.
    pub fn new(own: PeerId, link: &Link, guard: Option<Guard>, judge: Judge) -> Self {
        let access = Self { own, resource: link.id, judge, state: Mutex::default() };
        access.set(guard, link);
        access
    }

    /// Puts another guard, or a fresh token of the same one, in place.
    pub fn set(&self, guard: Option<Guard>, link: &Link) {
        let token = token_of(link).ok().flatten().filter(|token| Some(token.guard()) == guard);
        let shown = token.and_then(|token| token.bind(self.own)?.to_token());
        let mut state = self.state();
        // A link without a token is no reason to forget the one there is.
        let kept = state.shown.take().filter(|_| state.guard == guard);
        *state = State { guard, shown: shown.or(kept) };
    }

    /// Under whose protection it is.
    pub fn guard(&self) -> Option<Guard> {
        self.state().guard
    }

    /// The token that others are shown, if there is one.
    pub fn shown(&self) -> Option<Token> {
        self.state().shown.clone()
    }

    /// Whether this peer may have it.
    pub fn check(&self, token: Option<&Token>, peer: &PeerId) -> Result<(), TokenError> {
        let Some(guard) = self.guard() else { return Ok(()) };
        // The guard is known by its own connection.
        if guard.peer_id().as_ref() == Some(peer) {
            return Ok(());
        }
        let mut judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
        judge.check(token, Some(guard), &self.resource, peer, now()).map(drop)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token of a link, if it has one, whole and for what the link leads to. Whether its time has come or is over
/// is for the others to say: this machine's clock may be wrong.
///
/// # Errors
/// With a sentence for who opened the link.
pub(crate) fn token_of(link: &Link) -> Result<Option<LinkToken>, TokenError> {
    let Some(token) = &link.token else { return Ok(None) };
    let token = LinkToken::read(token)?;
    if token.resource() != link.id {
        return Err(TokenError::OtherResource);
    }
    Ok(Some(token))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use nearcast_network::Keypair;
    use nearcast_protocol::token::{SigningKey, Term};

    use super::*;

    const FILM: ResourceId = ResourceId::from_bytes([7; 32]);

    fn identity(seed: u8) -> Keypair {
        Keypair::ed25519_from_bytes([seed; 32]).unwrap()
    }

    fn peer(seed: u8) -> PeerId {
        identity(seed).public().to_peer_id()
    }

    fn link(guard: u8, resource: ResourceId) -> Link {
        let term = Term { from: 0, until: u64::MAX };
        let key = SigningKey::certify(&identity(guard), [2; 32], term, 0).unwrap();
        let token = key.token(resource, term, [3; 32]).unwrap().to_token();
        Link { id: FILM, name: "a".into(), size: 1, trackers: Vec::new(), sources: Vec::new(), token }
    }

    fn access(own: u8, guard: Option<Guard>) -> Access {
        Access::new(peer(own), &link(1, FILM), guard, Judge::default())
    }

    #[test]
    fn what_is_public_is_for_all_and_what_is_guarded_for_bearers() {
        let guard = Guard::of(&peer(1));
        let (holder, viewer) = (access(8, guard), access(9, guard));
        assert_eq!(access(8, None).check(None, &peer(9)), Ok(()));
        assert_eq!(holder.check(None, &peer(9)), Err(TokenError::Missing));
        assert_eq!(holder.check(viewer.shown().as_ref(), &peer(9)), Ok(()));
        assert_eq!(holder.check(viewer.shown().as_ref(), &peer(7)), Err(TokenError::OtherTerminal));
        assert_eq!(holder.check(None, &peer(1)), Ok(()), "the guard itself");
        // Another publisher's leave is none.
        let other = Access::new(peer(9), &link(5, FILM), Guard::of(&peer(5)), Judge::default());
        assert_eq!(holder.check(other.shown().as_ref(), &peer(9)), Err(TokenError::UnknownGuard));
    }

    #[test]
    fn the_link_s_own_token_is_never_shown() {
        let link = link(1, FILM);
        let shown = access(9, Guard::of(&peer(1))).shown().unwrap();
        assert_ne!(Some(&shown), link.token.as_ref());
        assert!(access(9, None).shown().is_none(), "a public film needs none");
    }

    #[test]
    fn a_token_outlives_a_link_without_one_but_no_other_guard() {
        let (access, plain) = (access(9, Guard::of(&peer(1))), Link { token: None, ..link(1, FILM) });
        access.set(Guard::of(&peer(1)), &plain);
        assert!(access.shown().is_some());
        access.set(Guard::of(&peer(5)), &plain);
        assert!(access.shown().is_none());
    }

    #[test]
    fn a_link_with_another_film_s_token_says_so() {
        let other = ResourceId::from_bytes([8; 32]);
        assert_eq!(token_of(&link(1, other)), Err(TokenError::OtherResource));
        assert!(token_of(&link(1, FILM)).is_ok_and(|token| token.is_some()));
        let broken = Link { token: Token::new("a.b-c"), ..link(1, FILM) };
        assert_eq!(token_of(&broken), Err(TokenError::Unreadable));
    }
}
