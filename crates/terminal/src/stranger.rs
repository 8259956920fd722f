//! Links that come from outside the app are a stranger's: they ask before anything happens (DESIGN 5.1).

use nearcast_protocol::{Link, Multiaddr, Opening};
use nearcast_transfer::resolve::{is_private, private_ip};
use url::Url;

use crate::{opening, screen::Question};

/// The longest text of a stranger's that is shown.
const LONGEST: usize = 200;

/// What to ask before `opening` is played; nothing for links that name only trackers the user trusts.
pub fn question(opening: &Opening, trusted: &[String], own: &[String]) -> Option<Question> {
    match opening {
        Opening::Link(link) => of_link(link, trusted, own),
        Opening::Url(url) | Opening::Request(url) => {
            let host = shown(url.host_str().unwrap_or_default());
            Some(Question::Link {
                title: shown(url.as_str()),
                size: None,
                private: if is_private(url) { vec![host.clone()] } else { Vec::new() },
                trackers: vec![host],
                can_trust: false,
            })
        }
    }
}

fn of_link(link: &Link, trusted: &[String], own: &[String]) -> Option<Question> {
    let known = |tracker: &Multiaddr| {
        let tracker = tracker.to_string();
        trusted.contains(&tracker) || own.contains(&tracker)
    };
    let trackers = link.trackers.iter().filter(|tracker| !known(tracker));
    let private = trackers.filter(|tracker| is_private_address(tracker)).map(ToString::to_string);
    let sources = link.sources.iter().filter(|source| is_private(source)).map(Url::to_string);
    let private: Vec<_> = private.chain(sources).map(|text| shown(&text)).collect();
    let all_known = !link.trackers.is_empty() && link.trackers.iter().all(known);
    if all_known && private.is_empty() {
        return None;
    }
    Some(Question::Link {
        title: shown(&opening::title(&link.name)),
        size: Some(link.size),
        trackers: link.trackers.iter().map(|tracker| shown(&tracker.to_string())).collect(),
        private,
        can_trust: !link.trackers.is_empty(),
    })
}

/// The trackers to trust after "always".
pub fn trackers(opening: &Opening) -> Vec<String> {
    match opening {
        Opening::Link(link) => link.trackers.iter().map(ToString::to_string).collect(),
        Opening::Url(_) | Opening::Request(_) => Vec::new(),
    }
}

/// Whether an address lies on this machine or in a network that isn't the public one.
fn is_private_address(address: &Multiaddr) -> bool {
    let text = address.to_string();
    let mut parts = text.split('/').skip(1);
    while let (Some(protocol), Some(value)) = (parts.next(), parts.next()) {
        match protocol {
            "ip4" | "ip6" => return value.parse().is_ok_and(private_ip),
            "dns" | "dns4" | "dns6" | "dnsaddr" => {
                return Url::parse(&format!("http://{value}/")).is_ok_and(|url| is_private(&url));
            }
            _ => {}
        }
    }
    // No address that is known to be public.
    true
}

/// A stranger's text as it may be shown: bounded, without what turns lines around or hides them.
pub fn shown(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let mut plain: String =
        text.chars().filter(|c| !c.is_control() && !turns(*c)).take(LONGEST + 1).collect();
    if plain.chars().count() > LONGEST {
        plain.pop();
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn ask(text: &str, trusted: &[&str]) -> Option<(Vec<String>, Vec<String>, bool)> {
        let trusted: Vec<_> = trusted.iter().map(|text| (*text).to_owned()).collect();
        let asked = question(&text.parse().unwrap(), &trusted, &[])?;
        match asked {
            Question::Link { trackers, private, can_trust, .. } => Some((trackers, private, can_trust)),
            Question::Close { .. } => None,
        }
    }

    fn link(fields: &str) -> String {
        format!("nearcast://{ID}/film.mp4?size=5{fields}")
    }

    #[test]
    fn only_links_of_trusted_trackers_alone_pass() {
        let known = "/ip4/127.0.0.1/tcp/4401";
        let one = link(&format!("&tracker={known}"));
        assert_eq!(ask(&one, &[known]), None);
        assert!(ask(&one, &[]).is_some());
        let two = link(&format!("&tracker={known}&tracker=/ip4/203.0.113.5/tcp/1"));
        assert!(ask(&two, &[known]).is_some());
        let none = ask(&link(""), &[]).unwrap();
        assert!(!none.2, "there is no tracker to trust");
    }

    #[test]
    fn addresses_inside_are_named() {
        for inside in [
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/10.1.2.3/tcp/1",
            "/ip4/192.168.0.1/udp/1/quic-v1",
            "/ip4/169.254.1.1/tcp/1",
            "/ip4/100.64.0.1/tcp/1",
            "/ip6/::1/tcp/1",
            "/ip6/fd00::1/tcp/1",
            "/ip6/::ffff:10.0.0.1/tcp/1",
            "/dns/localhost/tcp/1",
            "/dns4/printer.local/tcp/1",
        ] {
            let (_, private, _) = ask(&link(&format!("&tracker={inside}")), &[]).unwrap();
            assert_eq!(private.len(), 1, "{inside}");
        }
        let (_, private, _) = ask(&link("&tracker=/ip4/203.0.113.5/tcp/1"), &[]).unwrap();
        // 203.0.113.0/24 is for documentation; whether it counts as public is not ours to say here.
        assert!(private.len() <= 1);
        let (_, private, _) = ask(&link("&tracker=/dns/films.example.org/tcp/1"), &[]).unwrap();
        assert!(private.is_empty());
        let (_, private, trust) = ask("http://192.168.1.1/film.mp4", &[]).unwrap();
        assert_eq!((private.len(), trust), (1, false));
    }

    #[test]
    fn what_a_stranger_wrote_is_shown_tame() {
        assert_eq!(shown("a\u{202e}4pm.exe\n\u{200b}"), "a4pm.exe");
        assert_eq!(shown(&"长".repeat(500)).chars().count(), LONGEST + 1);
    }
}
