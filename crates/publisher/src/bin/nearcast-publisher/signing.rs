//! `nearcast-publisher link` and `rotate-keys`: what is done beside the running publisher, in its state folder.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use nearcast_content::Library;
use nearcast_network::identity_on_disk;
use nearcast_protocol::{Link, ResourceId};
use nearcast_publisher::access::keys::{Keys, now};

use crate::cli::{Options, RotateKeys, SignLink};

/// Prints a signed link to a protected film.
pub fn link(options: &Options, asked: &SignLink) -> anyhow::Result<()> {
    let state = options.state_folder()?;
    let link = find(&state, &asked.film)?;
    let token = keys(&state)?.token(link.id, now() + asked.expires.0.as_secs())?;
    if asked.url {
        let public = options.public.as_ref().context("name the site's address: --public URL")?;
        let mut url = public.join(&format!("v/{}", link.id))?;
        url.query_pairs_mut().append_pair("token", token.as_str());
        println!("{url}");
    } else {
        println!("{}", Link { token: Some(token), ..link });
    }
    Ok(())
}

/// Takes a new signing key into use.
pub fn rotate(options: &Options, asked: &RotateKeys) -> anyhow::Result<()> {
    let rotated = keys(&options.state_folder()?)?.rotate(asked.revoke)?;
    match asked.revoke {
        true => println!("a new key signs from now on; all links given so far are refused"),
        false => println!(
            "a new key signs from now on; links of the {} before it stay good until they expire",
            rotated.good.saturating_sub(1)
        ),
    }
    Ok(())
}

fn keys(state: &Path) -> anyhow::Result<Keys> {
    // One that was made here would be nobody's.
    if !state.join("identity").is_file() {
        bail!("no publisher keeps its state in {}; name another folder with --state", state.display());
    }
    Ok(Keys::new(state, identity_on_disk(&state.join("identity"))?)?)
}

/// The film that was named by its id or its file.
fn find(state: &Path, film: &str) -> anyhow::Result<Link> {
    let library = state.join("library");
    let films = Library::look(&library).with_context(|| {
        format!("no publisher has its library in {}; name another with --state", library.display())
    })?;
    let id = film.parse::<ResourceId>().ok();
    let path = std::fs::canonicalize(film).ok();
    let found = films.into_iter().find(|(link, data, _)| Some(link.id) == id || Some(data) == path.as_ref());
    match found {
        Some((link, _, Some(_))) => Ok(link),
        Some((link, ..)) => bail!("{} is public: its link needs no signature; --protect it first", link.name),
        None => bail!("{film} is neither the id nor the file of a film that is put up"),
    }
}

/// A time as people say it: 90s, 12h, 7d, 2w.
#[derive(Debug, Clone, Copy)]
pub struct Period(pub Duration);

impl std::str::FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no time such as 12h, 7d or 2w");
        let span: jiff::Span = text.parse().map_err(|_| wrong())?;
        let days = jiff::SpanRelativeTo::days_are_24_hours();
        let seconds = span.total((jiff::Unit::Second, days)).map_err(|_| wrong())?;
        Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero()).map(Self).ok_or_else(wrong)
    }
}

impl<'de> serde::Deserialize<'de> for Period {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_say_them() {
        let seconds = |text: &str| text.parse::<Period>().map(|period| period.0.as_secs()).ok();
        assert_eq!(
            ["90s", "12h", "7d", "2w", "1h 30m", "0s", "-1d", "soon", ""].map(seconds),
            [Some(90), Some(43_200), Some(604_800), Some(1_209_600), Some(5400), None, None, None, None]
        );
    }
}
