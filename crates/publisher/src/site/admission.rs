//! Who may have a film's link. Everyone, today: a film is public.

use nearcast_protocol::Link;

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotAdmitted(pub String);

/// The link for whoever asks for it and shows `token`, or why they don't get it. All that a visitor learns or is given
/// of a film's bytes passes here.
pub(crate) fn admit(link: &Link, _token: Option<&str>) -> Result<Link, NotAdmitted> {
    Ok(link.clone())
}
