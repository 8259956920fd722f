//! Who may have a film's link: everyone, or bearers of a signed link, or who knows the password (DESIGN §5.7).
//!
//! [`Access::admit`] is the one question the site asks. A protected film's link is given to who shows a link's token
//! (`/v/<id>?token=…`) or the password, and carries a fresh token. [`keys`] are what signs them, [`policy`] says
//! which films are protected, [`password`] checks passwords and slows guessing down, and [`answers`] are the pages.

pub mod answers;
pub mod keys;
pub mod password;
pub mod policy;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nearcast_network::Keypair;
use nearcast_protocol::{
    Guard, Link, ResourceId, Token, TokenError,
    token::Verifier,
    tracker::{Find, Request},
};
use nearcast_transfer::Controller;
use tokio_util::sync::CancellationToken;

use self::{
    keys::{KeyError, Keys, now},
    password::Passwords,
};

/// How long a link is good that a password has given, if nothing else is said.
pub const LINK_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How often the keys are looked at: `rotate-keys` is another process.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a tracker may take to hear of a revocation.
const PATIENCE: Duration = Duration::from_secs(8);

/// Decides who may have which link; cheap to clone.
#[derive(Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

struct Inner {
    controller: Controller,
    keys: Keys,
    guard: Guard,
    passwords: Option<Passwords>,
    link_life: Duration,
    verifier: Mutex<Verifier>,
}

/// Why somebody doesn't get a link.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// The token is missing or isn't good.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The password is wrong.
    #[error("this isn't the password")]
    Password,
    /// There were too many wrong ones.
    #[error("there were too many wrong passwords; try again in {} s", .0.as_secs().max(1))]
    TooMany(Duration),
    /// No link can be signed.
    #[error("no link can be signed just now")]
    Keys(#[from] KeyError),
}

impl Access {
    /// Access to what `controller` puts up, signed with `keys`.
    ///
    /// # Errors
    /// When the keys can't be read or made.
    pub fn new(
        controller: Controller,
        keys: Keys,
        passwords: Option<Passwords>,
        link_life: Duration,
    ) -> Result<Self, KeyError> {
        let guard = keys.guard();
        // So that what is wrong with the file is said at the start.
        keys.prepare()?;
        let verifier = Mutex::default();
        let inner = Inner { controller, keys, guard, passwords, link_life, verifier };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether a film is for bearers of signed links only.
    pub fn protects(&self, id: &ResourceId) -> bool {
        self.inner.controller.protected_by(id).is_some()
    }

    /// Whether a password opens protected films.
    pub fn takes_passwords(&self) -> bool {
        self.inner.passwords.is_some()
    }

    /// The link for whoever asks for it and shows `token`: a public film's as it is, a protected one's with a fresh
    /// token that is good as long as the shown one.
    ///
    /// # Errors
    /// With a sentence for the person who asked.
    pub fn admit(&self, link: &Link, token: Option<&str>) -> Result<Link, NotAdmitted> {
        if !self.protects(&link.id) {
            return Ok(link.clone());
        }
        let text = token.ok_or(TokenError::Missing)?;
        let token = Token::new(text).ok_or(TokenError::Unreadable)?;
        let shown = {
            let mut verifier = self.inner.verifier.lock().unwrap_or_else(PoisonError::into_inner);
            verifier.raise(self.inner.guard, self.inner.keys.floor()?);
            verifier.check_link(&token, self.inner.guard, &link.id, now())?
        };
        self.signed(link, shown.term().until)
    }

    /// The link for who knows the password.
    ///
    /// # Errors
    /// As [`Access::admit`]; wrong passwords from an address are slowed down.
    pub fn admit_with_password(
        &self,
        link: &Link,
        password: &str,
        from: Option<std::net::IpAddr>,
    ) -> Result<Link, NotAdmitted> {
        if !self.protects(&link.id) {
            return Ok(link.clone());
        }
        let passwords = self.inner.passwords.as_ref().ok_or(TokenError::Missing)?;
        passwords.check(password, from)?;
        self.signed(link, now().saturating_add(self.inner.link_life.as_secs()))
    }

    fn signed(&self, link: &Link, until: u64) -> Result<Link, NotAdmitted> {
        Ok(Link { token: Some(self.inner.keys.token(link.id, until)?), ..link.clone() })
    }

    /// Keeps this node and the trackers told of revoked keys, until stopped.
    pub async fn follow(self, stop: CancellationToken) {
        let mut told = 0;
        let following = async {
            loop {
                match self.inner.keys.floor() {
                    Ok(floor) if floor > told => {
                        self.inner.controller.revoke(self.inner.guard, floor);
                        told = floor;
                        if self.tell_trackers().await {
                            tracing::info!("links signed with revoked keys are refused from now on");
                        }
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "the signing keys can't be read"),
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        stop.run_until_cancelled(following).await;
    }

    /// Shows a token of the newest key to every tracker: by it they know which are revoked. Whether all have heard.
    async fn tell_trackers(&self) -> bool {
        let network = self.inner.controller.network();
        // Any resource will do: nothing is asked about it.
        let resource = ResourceId::from_bytes([0; 32]);
        let token = self.inner.keys.bound_token(resource, network.peer_id());
        let find = Find { resource, token: token.ok(), stalled: false };
        let mut all = true;
        for tracker in &self.inner.controller.settings().trackers {
            let request = Request::CountProtected(find.clone());
            if let Err(error) = network.ask(tracker, &request, PATIENCE).await {
                tracing::warn!(%tracker, %error, "it hears of revoked keys with the next new link only");
                all = false;
            }
        }
        all
    }
}

/// The guard that an identity is.
pub fn guard_of(identity: &Keypair) -> Option<Guard> {
    Guard::of(&identity.public().to_peer_id())
}
