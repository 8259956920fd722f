//! Why a token isn't good, in words and as a code.

use jiff::Timestamp;

use crate::pieces::Reason;

/// Why a token isn't good for what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error("this film is protected: open it by its publisher's link")]
    Missing,
    /// It is no token, or not a whole one.
    #[error("the link's token can't be read: part of the link may be missing, copy it again")]
    Unreadable,
    /// A link's token was sent as it is, or an unbound one shown.
    #[error("the token isn't bound to a terminal: this program is too old, or the token was copied by hand")]
    NotBound,
    /// A signature doesn't fit.
    #[error("the link's token was changed after its publisher made it: copy the link again where you got it")]
    Tampered,
    /// Its time is over.
    #[error("the link expired on {}: ask its publisher for a new one", day(*.at))]
    Expired {
        /// When, in seconds since 1970.
        at: u64,
    },
    /// Its time is still to come.
    #[error("the link isn't good before {}: try again then, or set this computer's clock", day(*.from))]
    Early {
        /// When it is, in seconds since 1970.
        from: u64,
    },
    /// It is for something else.
    #[error("the link's token is for another film: copy the link again where you got it")]
    OtherResource,
    /// Somebody else showed it before.
    #[error("the token is bound to another terminal and of no use here: open the publisher's link itself")]
    OtherTerminal,
    /// The key that signed it is too old, or revoked.
    #[error("the key that signed this link is retired: ask its publisher for a new link")]
    KeyRetired,
    /// It is of a publisher that doesn't guard this here.
    #[error(
        "the link is of a publisher that doesn't protect this film here: ask where you got it for another"
    )]
    UnknownGuard,
}

impl TokenError {
    /// The same as a code.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Missing => Reason::NotAllowed,
            Self::Unreadable | Self::Tampered => Reason::TokenWrong,
            Self::Expired { .. } => Reason::TokenExpired,
            Self::Early { .. } => Reason::TokenEarly,
            Self::OtherResource => Reason::TokenOfOther,
            Self::NotBound | Self::OtherTerminal => Reason::TokenOfTerminal,
            Self::KeyRetired => Reason::KeyRetired,
            Self::UnknownGuard => Reason::UnknownGuard,
        }
    }
}

/// A time as people write it, in UTC.
fn day(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(
        || "a day beyond all calendars".into(),
        |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}
