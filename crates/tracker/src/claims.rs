//! Which publisher says that which URL stands for which link (R6).

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound::{Excluded, Unbounded},
};

use nearcast_protocol::tracker::{Claim, MAX_CLAIMS, Text};

use crate::node::Slot;

/// Claims that are remembered of one publisher: a large catalogue, each film under a few URLs.
const PER_PUBLISHER: usize = 10_000;
/// Publishers that are remembered for one URL. Who came first stays, so that a crowd of latecomers can't
/// push the true one out.
const PER_URL: usize = 2 * MAX_CLAIMS;
/// Claims that are remembered in all: some 30 MB of honest ones, and 400 MB of the longest.
const IN_ALL: usize = 100_000;
/// Bytes of a URL that is remembered.
const LONGEST_URL: usize = 1024;
/// Bytes of a link that is remembered.
const LONGEST_LINK: usize = 2048;

/// All claims that stand.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    by_url: HashMap<String, Vec<(Slot, String)>>,
    by_publisher: HashMap<Slot, BTreeSet<String>>,
    standing: usize,
}

impl Claims {
    /// Notes a publisher's claims; a new link for a URL replaces its earlier one. What makes no sense, or
    /// is too much, is passed over: a claim is only a hint, which the URL's origin has to confirm.
    pub fn add(&mut self, publisher: Slot, claims: &[Claim]) {
        for claim in claims.iter().filter(|claim| sensible(claim)) {
            let links = self.by_url.entry(claim.url.clone()).or_default();
            if let Some((_, link)) = links.iter_mut().find(|(slot, _)| *slot == publisher) {
                link.clone_from(&claim.link);
                continue;
            }
            let urls = self.by_publisher.entry(publisher).or_default();
            let room = links.len() < PER_URL && urls.len() < PER_PUBLISHER && self.standing < IN_ALL;
            if room {
                links.push((publisher, claim.link.clone()));
                urls.insert(claim.url.clone());
                self.standing += 1;
            }
            if links.is_empty() {
                self.by_url.remove(&claim.url);
            }
            if urls.is_empty() {
                self.by_publisher.remove(&publisher);
            }
        }
    }

    /// How many stand, of all publishers together.
    pub fn standing(&self) -> usize {
        self.standing
    }

    /// Some of what one publisher claims, those that come after a URL.
    pub fn some_of(&self, publisher: Slot, after: &str, many: usize) -> Vec<Claim> {
        let urls =
            self.by_publisher.get(&publisher).map(|urls| urls.range::<str, _>((Excluded(after), Unbounded)));
        let claim = |url: &String| {
            let (_, link) = self.by_url.get(url)?.iter().find(|(slot, _)| *slot == publisher)?;
            Some(Claim { url: url.clone(), link: link.clone() })
        };
        urls.into_iter().flatten().take(many).filter_map(claim).collect()
    }

    /// The links that are claimed for a URL, each once, the longest standing first.
    pub fn links(&self, url: &str) -> Vec<Text> {
        let mut links: Vec<Text> = Vec::new();
        for (_, link) in self.by_url.get(url).into_iter().flatten() {
            if links.len() < MAX_CLAIMS && links.iter().all(|known| known.0 != *link) {
                links.push(Text(link.clone()));
            }
        }
        links
    }

    /// Forgets all that one publisher claims.
    pub fn forget(&mut self, publisher: Slot) {
        for url in self.by_publisher.remove(&publisher).into_iter().flatten() {
            self.standing -= 1;
            if let Some(links) = self.by_url.get_mut(&url) {
                links.retain(|(slot, _)| *slot != publisher);
                if links.is_empty() {
                    self.by_url.remove(&url);
                }
            }
        }
    }
}

fn sensible(claim: &Claim) -> bool {
    let web = claim.url.starts_with("http://") || claim.url.starts_with("https://");
    let link = claim.link.starts_with("nearcast:");
    web && link && claim.url.len() <= LONGEST_URL && claim.link.len() <= LONGEST_LINK
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://films.example/v/1";

    fn claim(url: &str, link: &str) -> Vec<Claim> {
        vec![Claim { url: url.into(), link: link.into() }]
    }

    fn links(claims: &Claims) -> Vec<String> {
        claims.links(URL).into_iter().map(|link| link.0).collect()
    }

    #[test]
    fn the_first_come_first_and_a_publisher_s_last_word_counts() {
        let mut claims = Claims::default();
        claims.add(1, &claim(URL, "nearcast://b"));
        claims.add(2, &claim(URL, "nearcast://a"));
        claims.add(3, &claim(URL, "nearcast://a"));
        assert_eq!(links(&claims), ["nearcast://b", "nearcast://a"]);
        claims.add(1, &claim(URL, "nearcast://c"));
        assert_eq!(links(&claims), ["nearcast://c", "nearcast://a"]);
        claims.forget(2);
        claims.forget(1);
        assert_eq!(links(&claims), ["nearcast://a"]);
        claims.forget(3);
        assert!(claims.by_url.is_empty() && claims.by_publisher.is_empty() && claims.standing == 0);
    }

    #[test]
    fn nonsense_is_passed_over() {
        let mut claims = Claims::default();
        let long = format!("https://films.example/{}", "x".repeat(LONGEST_URL));
        for (url, link) in [
            ("ftp://films.example/v/1", "nearcast://a"),
            ("javascript:alert(1)", "nearcast://a"),
            (URL, "https://films.example/"),
            (&long, "nearcast://a"),
        ] {
            claims.add(1, &claim(url, link));
            assert!(claims.by_url.is_empty() && claims.by_publisher.is_empty(), "{url}");
        }
    }

    #[test]
    fn neither_a_crowd_nor_one_publisher_can_fill_the_memory() {
        let mut claims = Claims::default();
        for slot in 0..1_000 {
            claims.add(slot, &claim(URL, &format!("nearcast://{slot}")));
        }
        assert_eq!((claims.standing, claims.by_publisher.len()), (PER_URL, PER_URL));
        assert_eq!((links(&claims).len(), links(&claims)[0].as_str()), (MAX_CLAIMS, "nearcast://0"));
        for n in 0..2 * PER_PUBLISHER {
            claims.add(0, &claim(&format!("https://films.example/{n}"), "nearcast://a"));
        }
        assert_eq!(claims.by_publisher[&0].len(), PER_PUBLISHER);
        assert_eq!(claims.by_url.len(), PER_PUBLISHER);
    }
}
