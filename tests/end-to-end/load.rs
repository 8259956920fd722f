//! R7 over real connections: whom a publisher serves, whom it sends away, and where to.

use std::{fs, time::Duration};

use anyhow::{Context, Result, bail};
use nearcast_network::{Config, Keypair, Network, PieceStream};
use nearcast_protocol::{
    Group, Link, Multiaddr, PeerAddress, PeerId, ResourceId, Role,
    pieces::{Frame, Hello, Reason, Refuse, VERSION},
    tracker::{Answer, Find, Holding, Medium, Reach, Registration, Request},
};
use nearcast_tests::{PATIENCE, Program, Publisher, Tracker, random_file};

const MIB: usize = 1 << 20;

/// A terminal as far as others can see.
struct Terminal {
    network: Network,
    tracker: Multiaddr,
    film: ResourceId,
    group: Group,
}

impl Terminal {
    async fn start(ip: &str, tracker: &Multiaddr, film: ResourceId) -> Result<Self> {
        let mut config = Config::new(Keypair::generate_ed25519());
        config.listen = vec![format!("/ip4/{ip}/tcp/0").parse()?];
        config.neighbours = false;
        let network = Network::start(config).await?;
        let mut terminal = Self { network, tracker: tracker.clone(), film, group: Group::UNKNOWN };
        terminal.group = terminal.holds(1).await?;
        Ok(terminal)
    }

    fn peer(&self) -> PeerId {
        self.network.peer_id()
    }

    async fn ask(&self, request: &Request) -> Result<Answer> {
        Ok(self.network.ask(&self.tracker, request, PATIENCE).await?)
    }

    /// Tells the tracker how much of the film it holds; gives its group.
    async fn holds(&self, permille: u16) -> Result<Group> {
        let registration = Registration {
            version: "test/1".into(),
            role: Role::Terminal,
            tcp_port: self.network.tcp_port(),
            quic_port: 0,
            reach: Reach::Unknown,
            medium: Medium::Unknown,
            local: Vec::new(),
            holdings: vec![Holding { resource: self.film, permille, guard: None }],
            spare_upload: 0,
        };
        match self.ask(&Request::Register(registration)).await? {
            Answer::Leased(lease) => Ok(lease.group),
            other => bail!("not registered: {other:?}"),
        }
    }

    /// Where the publisher is, by the tracker's list.
    async fn publisher(&self) -> Result<PeerAddress> {
        let find = Request::Find(Find { resource: self.film, token: None, stalled: false });
        match self.ask(&find).await? {
            Answer::Found(list) => {
                let publisher = list.peers.into_iter().find(|peer| peer.role == Role::Publisher);
                Ok(publisher.context("no publisher is listed")?.address)
            }
            other => bail!("not found: {other:?}"),
        }
    }

    /// Wants a stream of the publisher.
    async fn opens(&self, publisher: &PeerAddress, size: u64) -> Result<Result<PieceStream, Refuse>> {
        let mut stream = self.network.open_pieces(publisher).await?;
        let (version, resource, role) = (VERSION, self.film, Role::Terminal);
        let hello = Hello { version, resource, size, token: None, role, group: self.group };
        stream.send.send(Frame::Hello(hello)).await?;
        match tokio::time::timeout(PATIENCE, stream.receive.next()).await?? {
            Some(Frame::Hello(_)) => Ok(Ok(stream)),
            Some(Frame::Refuse(refuse)) => Ok(Err(refuse)),
            other => bail!("neither taken nor refused: {other:?}"),
        }
    }
}

/// The first film's link, from the publisher's page.
fn link_of(publisher: &Publisher) -> Result<Link> {
    let page = ureq::get(&publisher.site).call()?.body_mut().read_to_string()?;
    let id = page.split("href=\"v/").nth(1).and_then(|rest| rest.split('"').next()).context("no film")?;
    let answer = ureq::get(format!("{}v/{id}", publisher.site)).config().max_redirects(0).build().call()?;
    let link = answer.headers().get("location").context("no redirect")?.to_str()?;
    Ok(link.parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_are_served_ten_are_sent_on_and_forty_complete_ones_take_over() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let films = at.join("films");
    fs::create_dir(&films)?;
    random_file(&films.join("film.mp4"), MIB, 70)?;
    let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let more = ["--count-every", "1"];
    let publisher = Publisher::start_with(at, "127.3.0.7", &tracker.address, &films, 1, &more)?;
    let link = link_of(&publisher)?;
    let address: Multiaddr = tracker.address.parse()?;

    // Thirty in either network, each with a little of the film.
    let mut terminals = Vec::new();
    for n in 0..60 {
        let ip = format!("127.{}.70.{}", 1 + n % 2, 1 + n / 2);
        terminals.push(Terminal::start(&ip, &address, link.id).await?);
    }
    let source = terminals[0].publisher().await?;
    let mut streams = Vec::new();
    for terminal in &terminals[..50] {
        let taken = terminal.opens(&source, link.size).await?;
        streams.push(taken.map_err(|refuse| anyhow::anyhow!("refused: {refuse:?}"))?);
    }
    for terminal in &terminals[50..] {
        let refuse = terminal.opens(&source, link.size).await?.err().context("the 51st was served")?;
        assert_eq!(refuse.reason, Reason::Busy);
        assert!(refuse.retry_after_ms > 0 && !refuse.peers.is_empty(), "{refuse:?}");
        let of = |peer: &PeerAddress| terminals.iter().find(|other| other.peer() == peer.peer);
        let groups: Vec<_> = refuse.peers.iter().filter_map(of).map(|other| other.group).collect();
        assert_eq!(groups.len(), refuse.peers.len(), "a hint at a stranger, or at the publisher itself");
        assert!(refuse.peers.iter().all(|peer| peer.peer != terminal.peer()), "a hint at itself");
        let own = groups.iter().take_while(|group| **group == terminal.group).count();
        assert!(own > 0 && groups[own..].iter().all(|group| *group != terminal.group), "{groups:?}");
    }
    // When one leaves, the next is taken.
    streams.pop();
    until(async || Ok(terminals[55].opens(&source, link.size).await?.ok())).await?;

    // Forty of them hold it whole now, all but the last in the first network.
    let (complete, rest) = terminals.split_at(40);
    for terminal in complete {
        terminal.holds(1000).await?;
    }
    streams.clear();
    let refuse = until(async || {
        let refused = rest[0].opens(&source, link.size).await?.err();
        Ok(refused.filter(|refuse| refuse.reason == Reason::EnoughHolders))
    })
    .await?;
    assert!(refuse.retry_after_ms > 0 && !refuse.peers.is_empty(), "{refuse:?}");
    // In the third network nobody holds all of it.
    let stranger = Terminal::start("127.3.70.1", &address, link.id).await?;
    assert!(stranger.opens(&source, link.size).await?.is_ok(), "a network without a holder is served");
    // Whoever says it is elsewhere than where it comes from gains nothing.
    let liar = Terminal { group: Group(3), ..Terminal::start("127.1.70.99", &address, link.id).await? };
    assert!(liar.opens(&source, link.size).await?.is_err(), "its word was believed");

    // One fewer isn't few: it goes on below 28.
    complete[0].ask(&Request::Withdraw).await?;
    assert!(rest[1].opens(&source, link.size).await?.is_err(), "no hysteresis");
    for terminal in &complete[1..13] {
        terminal.ask(&Request::Withdraw).await?;
    }
    until(async || Ok(rest[2].opens(&source, link.size).await?.ok())).await?;
    for terminal in terminals.iter().chain([&stranger, &liar]) {
        terminal.network.stop().await;
    }
    Ok(())
}

/// Tries until it comes to that.
async fn until<T>(mut wanted: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let trying = async {
        loop {
            if let Some(reached) = wanted().await? {
                return Ok(reached);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, trying).await.context("it never came to that")?
}

#[test]
fn who_is_sent_away_gets_the_film_from_those_who_were_served() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let films = at.join("films");
    fs::create_dir(&films)?;
    let film = films.join("film.mp4");
    random_file(&film, 6 * MIB, 71)?;
    let tracker = Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
    let more = ["--streams", "1", "--upload", "16Mbit"];
    let publisher = Publisher::start_with(at, "127.3.0.8", &tracker.address, &films, 1, &more)?;
    let link = link_of(&publisher)?.to_string();
    let mut viewers = Vec::new();
    for n in 1..=3 {
        let ip = format!("127.1.71.{n}");
        let (out, kept) = (at.join(format!("got-{n}")), at.join(format!("kept-{n}")));
        let (out, kept, listen) = (
            out.to_string_lossy().into_owned(),
            kept.to_string_lossy().into_owned(),
            format!("/ip4/{ip}/tcp/0"),
        );
        let arguments =
            ["get", &link, "-o", &out, "--folder", &kept, "--listen", &listen, "--no-neighbours", "--seed"];
        viewers.push((Program::start("nearcast", &arguments)?, out));
    }
    for (viewer, out) in &mut viewers {
        viewer.wait_for("that it is done", |line| line.contains("shared on until stopped").then_some(()))?;
        assert!(fs::read(&film)? == fs::read(out)?, "the copy differs");
    }
    Ok(())
}
