//! Protected films: who has a token gets them of tracker, publisher and neighbours, and everyone else hears why not.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use nearcast_network::{Config, Keypair, Network, identity_on_disk};
use nearcast_protocol::{
    Group, Link, LinkToken, Multiaddr, PeerAddress, PeerId, ResourceId, Role, Token,
    pieces::{Class, Frame, Hello, PieceRequest, Reason, VERSION},
    token::{SigningKey, Term},
    tracker::{Answer, Find, Holding, Medium, Reach, Registration, Request},
};
use nearcast_tests::{PATIENCE, Program, Publisher, Tracker, random_file, run};

const ASK: Duration = Duration::from_secs(60);

/// A tracker, and a publisher with one film for members and one for all.
struct Scene {
    folder: tempfile::TempDir,
    tracker: Tracker,
    publisher: Publisher,
    film: PathBuf,
    state: PathBuf,
    net: u8,
}

impl Scene {
    fn start(net: u8, more: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let films = folder.path().join("films");
        fs::create_dir_all(films.join("members"))?;
        let film = films.join("members/Film.mp4");
        random_file(&film, 1_500_000, u64::from(net))?;
        random_file(&films.join("Open.mp4"), 200_000, 1000 + u64::from(net))?;
        let tracker = Tracker::start(&folder.path().join("tracker"), "/ip4/127.0.0.1/tcp/0")?;
        let ip = format!("127.3.{net}.1");
        let more = [&["--protect=members"], more].concat();
        let publisher = Publisher::start_with(folder.path(), &ip, &tracker.address, &films, 2, &more)?;
        let state = folder.path().join(format!("publisher-{ip}"));
        Ok(Self { folder, tracker, publisher, film, state, net })
    }

    /// Runs `nearcast-publisher` beside the running one.
    fn beside(&self, arguments: &[&str]) -> Result<(bool, String)> {
        let state = self.state.to_string_lossy();
        let done = run("nearcast-publisher", &[arguments, &["--state", &*state]].concat())?;
        let said = if done.status.success() { done.stdout } else { done.stderr };
        Ok((done.status.success(), String::from_utf8(said)?.trim().to_owned()))
    }

    fn link(&self, expires: &str) -> Result<Link> {
        let (ok, said) = self.beside(&["link", &self.film.to_string_lossy(), "--expires", expires])?;
        if !ok {
            bail!("no link: {said}");
        }
        Ok(said.parse()?)
    }

    /// A token that the publisher's own identity stands for.
    fn made(&self, resource: ResourceId, key: Term, term: Term, peer: &PeerId) -> Result<Token> {
        let identity = identity_on_disk(&self.state.join("identity"))?;
        token(&identity, resource, key, term, peer)
    }

    fn viewer(&self, number: u8) -> String {
        format!("127.1.{}.{number}", self.net)
    }

    fn arguments(&self, number: u8, opening: &str) -> Vec<String> {
        let (at, ip) = (self.folder.path(), self.viewer(number));
        let path = |name: &str| at.join(format!("{name}-{ip}")).to_string_lossy().into_owned();
        let (output, kept, listen) = (path("got"), path("kept"), format!("/ip4/{ip}/tcp/0"));
        let arguments = ["get", opening, "-o", &output, "--folder", &kept, "--listen", &listen, "--force"];
        let more = ["--no-neighbours", "--tracker", &self.tracker.address];
        arguments.iter().chain(&more).map(|&word| word.to_owned()).collect()
    }

    /// Runs `nearcast get` to its end.
    fn get(&self, number: u8, opening: &str) -> Result<(bool, String)> {
        let got = run("nearcast", &self.arguments(number, opening))?;
        Ok((got.status.success(), String::from_utf8(got.stderr)?))
    }

    /// A viewer that has got the film and shares it on.
    fn holder(&self, number: u8, opening: &str) -> Result<Program> {
        let arguments = [self.arguments(number, opening), vec!["--seed".into()]].concat();
        let mut holder = Program::start("nearcast", &arguments)?;
        holder.wait_for("that it shares on", |line| line.starts_with("shared on").then_some(()))?;
        assert!(fs::read(&self.film)? == fs::read(self.got(number))?, "another film came");
        Ok(holder)
    }

    fn got(&self, number: u8) -> PathBuf {
        self.folder.path().join(format!("got-{}", self.viewer(number)))
    }
}

fn token(identity: &Keypair, resource: ResourceId, key: Term, term: Term, peer: &PeerId) -> Result<Token> {
    let key = SigningKey::certify(identity, [2; 32], key, 0).context("the identity can't sign")?;
    let token = key.token(resource, term, [3; 32]).and_then(|token| token.bind(*peer)?.to_token());
    token.context("no token")
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// A node of this test, which speaks for itself.
struct Asker {
    network: Network,
    tracker: Multiaddr,
}

impl Asker {
    async fn start(ip: &str, tracker: &Tracker) -> Result<Self> {
        let mut config = Config::new(Keypair::generate_ed25519());
        config.listen = vec![format!("/ip4/{ip}/tcp/0").parse()?];
        config.neighbours = false;
        Ok(Self { network: Network::start(config).await?, tracker: tracker.address.parse()? })
    }

    fn bound(&self, link: &Link) -> Result<Token> {
        let token = LinkToken::read(link.token.as_ref().context("the link has no token")?)?;
        token.bind(self.network.peer_id()).and_then(|bound| bound.to_token()).context("no token")
    }

    /// Whom the tracker lists, or its code and sentence.
    async fn find(
        &self,
        resource: ResourceId,
        token: Option<Token>,
    ) -> Result<Result<Vec<(PeerAddress, Role)>, (Reason, String)>> {
        let find = Request::Find(Find { resource, token, stalled: false });
        match self.network.ask(&self.tracker, &find, ASK).await? {
            Answer::Found(list) => {
                Ok(Ok(list.peers.into_iter().map(|peer| (peer.address, peer.role)).collect()))
            }
            Answer::Denied { why, reason } => Ok(Err((why, reason))),
            other => bail!("no answer to that: {other:?}"),
        }
    }

    /// The publisher and the neighbour, as they are listed to who has this token.
    async fn both(&self, resource: ResourceId, token: &Token) -> Result<Vec<(PeerAddress, Role)>> {
        let listed = async {
            loop {
                let listed = self.find(resource, Some(token.clone())).await?;
                let listed = listed.map_err(|(_, why)| anyhow::anyhow!(why))?;
                if listed.len() == 2 {
                    return Ok(listed);
                }
                // The neighbour is listed a moment after it has the film; nothing tells when.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(ASK, listed).await?
    }

    /// Whether a peer gives the first block to who shows this token; its code if not.
    async fn taste(&self, peer: &PeerAddress, link: &Link, token: Option<Token>) -> Result<Option<Reason>> {
        let mut stream = self.network.open_pieces(peer).await?;
        let (resource, size) = (link.id, link.size);
        let (role, group) = (Role::Terminal, Group::UNKNOWN);
        let hello = Hello { version: VERSION, resource, size, token, role, group };
        let taste = async {
            stream.send.send(Frame::Hello(hello)).await?;
            let first =
                PieceRequest { id: 1, first: 0, count: 1, class: Class::Urgent, deadline_ms: 1000, known: 0 };
            let mut asked = false;
            loop {
                match stream.receive.next().await? {
                    Some(Frame::Refuse(refuse)) => return Ok(Some(refuse.reason)),
                    Some(Frame::Data(_)) => return Ok(None),
                    Some(Frame::Have(_)) if !asked => {
                        asked = true;
                        stream.send.send(Frame::Request(first)).await?;
                    }
                    Some(_) => {}
                    None => bail!("it closed the stream"),
                }
            }
        };
        tokio::time::timeout(ASK, taste).await?
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tracker_publisher_and_neighbour_each_judge_a_token_and_say_what_is_wrong() -> Result<()> {
    let scene = Scene::start(140, &[])?;
    let link = scene.link("1h")?;
    let _holder = scene.holder(2, &link.to_string())?;
    let asker = Asker::start(&scene.viewer(3), &scene.tracker).await?;
    let good = asker.bound(&link)?;
    let peers = asker.both(link.id, &good).await?;
    let roles: Vec<_> = peers.iter().map(|(_, role)| *role).collect();
    assert!(roles.contains(&Role::Publisher) && roles.contains(&Role::Terminal), "{roles:?}");

    let me = asker.network.peer_id();
    let (ever, hour) = (Term { from: 0, until: u64::MAX }, Term { from: now() - 60, until: now() + 3600 });
    let mut text = good.as_str().to_owned();
    // Somewhere in the film's id.
    text.replace_range(250..251, if text[250..251] == *"A" { "B" } else { "A" });
    let tampered = Token::new(text).context("too long")?;
    let other = ResourceId::from_bytes([9; 32]);
    let stranger = Keypair::generate_ed25519().public().to_peer_id();
    let expired = Term { from: now() - 3600, until: now() - 60 };
    let early = Term { from: now() + 3600, until: now() + 7200 };
    let retired = Term { from: now() - 7200, until: now() - 60 };
    let raw = link.token.clone();
    let faults = [
        ("none", None, Reason::NotAllowed, "open it by its publisher's link"),
        ("tampered", Some(tampered), Reason::TokenWrong, "was changed"),
        ("expired", Some(scene.made(link.id, ever, expired, &me)?), Reason::TokenExpired, "expired on 20"),
        ("early", Some(scene.made(link.id, ever, early, &me)?), Reason::TokenEarly, "isn't good before 20"),
        ("retired", Some(scene.made(link.id, retired, hour, &me)?), Reason::KeyRetired, "key that signed"),
        ("another film", Some(scene.made(other, ever, hour, &me)?), Reason::TokenOfOther, "another film"),
        (
            "another terminal",
            Some(scene.made(link.id, ever, hour, &stranger)?),
            Reason::TokenOfTerminal,
            "bound to another terminal",
        ),
        ("a link's own", raw, Reason::TokenOfTerminal, "isn't bound to a terminal"),
    ];
    for (name, token, reason, sentence) in faults {
        let found = asker.find(link.id, token.clone()).await?;
        let Err((why, said)) = found else { bail!("{name}: the tracker lists {found:?}") };
        assert!(why == reason && said.contains(sentence), "{name}: {why:?}, {said}");
        for (peer, role) in &peers {
            let answer = asker.taste(peer, &link, token.clone()).await?;
            assert_eq!(answer, Some(reason), "{name}, asked of a {role:?}");
        }
    }
    // Another guard's word makes another swarm, and is none to who holds this under this one.
    let foreign = token(&Keypair::generate_ed25519(), link.id, ever, hour, &me)?;
    assert_eq!(asker.find(link.id, Some(foreign.clone())).await?, Ok(Vec::new()));
    for (peer, role) in &peers {
        let answer = asker.taste(peer, &link, Some(foreign.clone())).await?;
        assert_eq!(answer, Some(Reason::UnknownGuard), "asked of a {role:?}");
        assert_eq!(asker.taste(peer, &link, Some(good.clone())).await?, None, "asked of a {role:?}");
    }
    // A token that another terminal has seen is of no use to that one.
    let thief = Asker::start(&scene.viewer(4), &scene.tracker).await?;
    assert!(matches!(thief.find(link.id, Some(good.clone())).await?, Err((Reason::TokenOfTerminal, _))));
    for (peer, role) in &peers {
        let answer = thief.taste(peer, &link, Some(good.clone())).await?;
        assert_eq!(answer, Some(Reason::TokenOfTerminal), "asked of a {role:?}");
    }
    asker.network.stop().await;
    thief.network.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_is_good_to_its_end_and_a_revoked_one_for_nobody() -> Result<()> {
    let mut scene = Scene::start(141, &[])?;
    let first = scene.link("1h")?;
    let _holder = scene.holder(2, &first.to_string())?;
    let nowhere = scene.folder.path().to_string_lossy().into_owned();
    let lost = run("nearcast-publisher", &["rotate-keys", "--state", &nowhere])?;
    let said = String::from_utf8_lossy(&lost.stderr).into_owned();
    assert!(!lost.status.success() && said.contains("no publisher keeps its state in"), "{said}");
    let (ok, said) = scene.beside(&["rotate-keys"])?;
    assert!(ok && said.contains("links of the 1 before it stay good"), "{said}");
    let second = scene.link("1h")?;
    let asker = Asker::start(&scene.viewer(3), &scene.tracker).await?;
    let old = [asker.bound(&first)?, asker.bound(&second)?];
    let mut peers = Vec::new();
    for token in &old {
        peers = asker.both(first.id, token).await?;
        for (peer, _) in &peers {
            assert_eq!(asker.taste(peer, &first, Some(token.clone())).await?, None);
        }
    }

    let (ok, said) = scene.beside(&["rotate-keys", "--revoke"])?;
    assert!(ok && said.contains("all links given so far are refused"), "{said}");
    let new = asker.bound(&scene.link("1h")?)?;
    scene.publisher.program.wait_for("that it has noticed", |line| {
        line.contains("links signed with revoked keys are refused from now on").then_some(())
    })?;
    // The tracker has it from the publisher; a neighbour learns it from the first who comes with a new link.
    for (peer, _) in &peers {
        assert_eq!(asker.taste(peer, &first, Some(new.clone())).await?, None);
    }
    for token in &old {
        let found = asker.find(first.id, Some(token.clone())).await?;
        assert!(matches!(found, Err((Reason::KeyRetired, _))), "{found:?}");
        for (peer, role) in &peers {
            let answer = asker.taste(peer, &first, Some(token.clone())).await?;
            assert_eq!(answer, Some(Reason::KeyRetired), "asked of a {role:?}");
        }
    }
    assert!(asker.find(first.id, Some(new)).await?.is_ok_and(|listed| listed.len() == 2));
    asker.network.stop().await;
    Ok(())
}

#[test]
fn a_viewer_reads_what_is_wrong_with_a_link() -> Result<()> {
    let scene = Scene::start(142, &[])?;
    let link = scene.link("1h")?;
    let short = scene.link("1s")?;
    let bare = Link { token: None, ..link.clone() };
    let text = link.to_string();
    let place = text.find("token=").context("no token")? + 200;
    let mut tampered = text.clone();
    tampered.replace_range(place..=place, if text[place..].starts_with('A') { "B" } else { "A" });
    let cut = &text[..text.len() - 10];
    let open = fs::canonicalize(scene.folder.path().join("films/Open.mp4"))?;
    let (ok, said) = scene.beside(&["link", &open.to_string_lossy()])?;
    assert!(!ok && said.contains("is public"), "{said}");
    let swapped = Link { id: ResourceId::from_bytes([9; 32]), ..link.clone() };
    // Its own end is what makes it bad: it is waited for.
    let end = LinkToken::read(short.token.as_ref().context("no token")?)?.term().until;
    while now() < end {
        std::thread::sleep(Duration::from_millis(100));
    }
    for (number, opening, sentence) in [
        (10, bare.to_string(), "this film is protected: open it by its publisher's link"),
        (11, short.to_string(), "the link expired on 20"),
        (12, tampered, "the link's token was changed"),
        (13, cut.to_owned(), "the link's token can't be read"),
        (14, swapped.to_string(), "the link's token is for another film"),
    ] {
        let (ok, said) = scene.get(number, &opening)?;
        assert!(!ok && said.contains(sentence), "{opening}: {said}");
    }
    let (ok, said) = scene.get(15, &text)?;
    assert!(ok && fs::read(&scene.film)? == fs::read(scene.got(15))?, "{said}");
    Ok(())
}

#[test]
fn what_came_with_a_token_is_passed_on_to_bearers_alone() -> Result<()> {
    let mut scene = Scene::start(143, &[])?;
    let link = scene.link("1h")?.to_string();
    let bare = Link { token: None, ..link.parse()? }.to_string();
    let mut holder = scene.holder(2, &link)?;
    assert!(scene.publisher.program.stop()?.success());
    let (ok, said) = scene.get(3, &link)?;
    assert!(ok && said.contains("own network 100 %"), "{said}");
    let (ok, said) = scene.get(4, &bare)?;
    assert!(!ok && said.contains("this film is protected"), "{said}");
    // It remembers under whose protection it has the film, even if somebody hands it a bare link.
    assert!(holder.stop()?.code().is_some());
    let _holder = scene.holder(2, &bare)?;
    let (ok, said) = scene.get(5, &bare)?;
    assert!(!ok && said.contains("this film is protected"), "{said}");
    let (ok, said) = scene.get(6, &link)?;
    assert!(ok && fs::read(&scene.film)? == fs::read(scene.got(6))?, "{said}");
    Ok(())
}

/// A node of this test registers as a holder under the guard's name; a viewer dials it, is shown a token or none, and is
/// asked for what it gets. Whether it gives, or its code.
async fn dialled_by_a_viewer(scene: &Scene, number: u8, with_token: bool) -> Result<Option<Reason>> {
    let link = scene.link("1h")?;
    let spy = Asker::start(&scene.viewer(number), &scene.tracker).await?;
    let guard = LinkToken::read(link.token.as_ref().context("no token")?)?.guard();
    let registration = Registration {
        version: "spy/1".into(),
        role: Role::Terminal,
        tcp_port: spy.network.tcp_port(),
        quic_port: 0,
        reach: Reach::Unknown,
        medium: Medium::Unknown,
        local: Vec::new(),
        holdings: vec![Holding { resource: link.id, permille: 1000, guard: Some(guard) }],
        spare_upload: 0,
    };
    let answer = spy.network.ask(&spy.tracker, &Request::Register(registration), ASK).await?;
    assert!(matches!(answer, Answer::Leased(_)), "{answer:?}");
    let mut incoming = spy.network.incoming_pieces().context("nothing comes in")?;
    let arguments = [scene.arguments(number + 1, &link.to_string()), vec!["--seed".into()]].concat();
    let _viewer = Program::start("nearcast", &arguments)?;
    let token = with_token.then(|| spy.bound(&link)).transpose()?;
    let spying = async {
        let mut stream = incoming.recv().await.context("nobody comes")?;
        let (resource, size) = (link.id, link.size);
        let (role, group) = (Role::Terminal, Group::UNKNOWN);
        let hello = Hello { version: VERSION, resource, size, token, role, group };
        stream.send.send(Frame::Hello(hello)).await?;
        // The viewer says what it has as it comes, and some of it is asked for at once.
        let mut asked = 0;
        while let Some(frame) = stream.receive.next().await? {
            match frame {
                Frame::Hello(hello) => {
                    let shown = hello.token.context("the viewer shows no token")?;
                    assert_ne!(Some(&shown), link.token.as_ref(), "the link's own token has travelled");
                }
                Frame::Have(blocks) => {
                    let Some(run) = blocks.runs().next() else { continue };
                    asked += 1;
                    let (first, class) = (run.start, Class::Urgent);
                    let wanted = PieceRequest { id: asked, first, count: 1, class, deadline_ms: 0, known: 0 };
                    stream.send.send(Frame::Request(wanted)).await?;
                }
                Frame::Data(_) => return Ok(None),
                Frame::Refuse(refuse) if refuse.id.is_some() => return Ok(Some(refuse.reason)),
                _ => {}
            }
        }
        bail!("the stream was closed before anything was asked for")
    };
    let spied = tokio::time::timeout(PATIENCE, spying).await?;
    spy.network.stop().await;
    spied
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_feigns_to_hold_a_film_is_given_nothing_of_it() -> Result<()> {
    let scene = Scene::start(144, &[])?;
    assert_eq!(dialled_by_a_viewer(&scene, 3, false).await?, Some(Reason::NotAllowed));
    assert_eq!(dialled_by_a_viewer(&scene, 5, true).await?, None, "who shows a token is given it");
    Ok(())
}

/// Asks the publisher's site without following where it leads.
fn ask(url: &str, form: Option<&str>, accept: &str) -> Result<(u16, Option<String>, String)> {
    let config = ureq::Agent::config_builder().max_redirects(0).http_status_as_error(false).build();
    let agent = ureq::Agent::new_with_config(config);
    let mut answer = match form {
        Some(form) => agent
            .post(url)
            .header("accept", accept)
            .content_type("application/x-www-form-urlencoded")
            .send(form)?,
        None => agent.get(url).header("accept", accept).call()?,
    };
    let location = answer.headers().get("location").and_then(|to| to.to_str().ok()).map(str::to_owned);
    Ok((answer.status().as_u16(), location, answer.body_mut().read_to_string()?))
}

#[test]
fn the_publisher_s_site_gives_links_to_who_may_have_them() -> Result<()> {
    let password = tempfile::NamedTempFile::new()?;
    fs::write(&password, "open sesame\n")?;
    let file = password.path().to_string_lossy().into_owned();
    let scene = Scene::start(145, &["--password-file", &file, "--link-life", "2h"])?;
    let link = scene.link("1h")?;
    let site = scene.publisher.site.clone();
    let address = format!("{site}v/{}", link.id);

    let (status, to, said) = ask(&address, None, "*/*")?;
    assert_eq!((status, to), (401, None), "{said}");
    let (status, _, page) = ask(&address, None, "text/html")?;
    assert!(status == 401 && page.contains("type=\"password\""), "{page}");
    let confirm = format!("{site}.well-known/nearcast?url={address}");
    assert_eq!(ask(&confirm, None, "*/*")?.0, 403, "a protected film's link is for nobody in between");

    // A signed address gives a link with a token of its own, good as long as the address.
    let (ok, signed) = scene.beside(&[
        "link",
        &scene.film.to_string_lossy(),
        "--expires",
        "1h",
        "--url",
        "--public",
        &site,
    ])?;
    assert!(ok && signed.starts_with(&address), "{signed}");
    let (status, to, said) = ask(&signed, None, "*/*")?;
    let given: Link = to.with_context(|| format!("{status}: {said}"))?.parse()?;
    let token = given.token.as_ref().context("it carries no token")?;
    assert!(status == 302 && !signed.contains(token.as_str()), "{status}");
    let term = LinkToken::read(token)?.term();
    assert!((now() + 3500..=now() + 3600).contains(&term.until), "{term:?}");
    let (status, to, said) = ask(&signed.replace("token=", "token=A"), None, "*/*")?;
    assert!(status == 401 && to.is_none() && said.contains("can't be read"), "{status}: {said}");

    let (status, to, page) = ask(&address, Some("password=sesame"), "text/html")?;
    assert!(status == 403 && to.is_none() && page.contains("isn't the password"), "{status}: {page}");
    let (status, to, said) = ask(&address, Some("password=open+sesame"), "text/html")?;
    let to = to.with_context(|| format!("{status}: {said}"))?;
    let playing = format!("../play/{}?token=", link.id);
    assert!(status == 303 && to.starts_with(&playing), "a browser goes on to the page that plays it: {to}");
    let (status, to, said) = ask(&address, Some("password=open+sesame"), "*/*")?;
    let given: Link = to.with_context(|| format!("{status}: {said}"))?.parse()?;
    let term = LinkToken::read(given.token.as_ref().context("it carries no token")?)?.term();
    assert!(status == 303 && (now() + 7100..=now() + 7200).contains(&term.until), "{term:?}");

    // The controller asks for itself, as a clicked link has it do.
    let escaped: String = signed.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let (ok, said) = scene.get(2, &format!("nearcast:?request={escaped}"))?;
    assert!(ok && fs::read(&scene.film)? == fs::read(scene.got(2))?, "{said}");
    let (ok, said) = scene.get(3, &address)?;
    assert!(!ok && said.contains("you may have to sign in at the publisher first"), "{said}");

    // Too many wrong ones have to wait, and are told how long.
    // The waits double, so that even a slow machine's question comes within one.
    let mut tries = Vec::new();
    while tries.last() != Some(&429) && tries.len() < 12 {
        tries.push(ask(&address, Some("password=guess"), "*/*")?.0);
    }
    let (last, before) = tries.split_last().context("nothing was tried")?;
    assert!(*last == 429 && before.len() >= 5 && before.iter().all(|status| *status == 403), "{tries:?}");

    // What is public is as it always was.
    let (_, _, index) = ask(&site, None, "text/html")?;
    let mut ids = index.split("href=\"v/").skip(1).filter_map(|rest| rest.split('"').next());
    let open = ids.find(|id| *id != link.id.to_string()).context("no public film")?;
    let (status, to, _) = ask(&format!("{site}v/{open}"), None, "*/*")?;
    let to: Link = to.context("no link")?.parse()?;
    assert!(status == 302 && to.token.is_none());
    Ok(())
}
