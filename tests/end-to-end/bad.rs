//! Bad input, bad peers, bad luck: a sentence that says what to do, and nothing fetched is lost.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nearcast_network::{Config, Keypair, Network};
use nearcast_protocol::{
    Blocks, Group, Link, Multiaddr, Role,
    pieces::{Data, Frame, Hello, MAX_FRAGMENT, VERSION},
    tracker::{Answer, Holding, Medium, Reach, Registration, Request},
};
use nearcast_tests::{Film, Neighbour, Program, Tracker, film, random_file, run};

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `nearcast get` and returns whether it went well, and what it said.
fn get(at: &Path, ip: &str, opening: &str, more: &[&str]) -> Result<(bool, String)> {
    let kept = at.join(format!("viewer-{ip}")).to_string_lossy().into_owned();
    let output = at.join(format!("got-{ip}")).to_string_lossy().into_owned();
    let listen = format!("/ip4/{ip}/tcp/0");
    let mut arguments = vec!["get", opening, "-o", &output, "--folder", &kept, "--listen", &listen];
    arguments.push("--no-neighbours");
    arguments.extend(more);
    let got = run("nearcast", &arguments)?;
    Ok((got.status.success(), String::from_utf8(got.stderr)?))
}

fn tracker(at: &Path) -> Result<Tracker> {
    Tracker::start(&at.join("tracker"), "/ip4/127.0.0.1/tcp/0")
}

fn file(at: &Path, bytes: usize, seed: u64) -> Result<PathBuf> {
    let path = at.join("film.mp4");
    random_file(&path, bytes, seed)?;
    Ok(path)
}

#[test]
fn a_broken_link_is_explained() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let id = "a".repeat(52);
    for (link, sentence) in [
        ("nearcast://abc/film.mp4?size=5".to_owned(), "3 characters, not 52"),
        (format!("nearcast://{id}/film.mp4"), "no size"),
        (format!("nearcast://{id}/film.mp4?size=many"), "\"many\" is not a number of bytes"),
        (format!("nearcast://{id}/film.mp4?size=1&tracker=here"), "\"here\" is not an address"),
        ("film.mp4".to_owned(), "neither a nearcast: link nor"),
    ] {
        let (ok, said) = get(folder.path(), "127.1.60.1", &link, &[])?;
        assert!(!ok && said.contains(sentence), "{link}: {said}");
    }
    Ok(())
}

#[test]
fn an_id_nobody_holds() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let tracker = tracker(folder.path())?;
    let link = format!("nearcast://{}/film.mp4?size=1000", "a".repeat(52));
    let more = ["--tracker", &tracker.address, "--patience", "4"];
    let (ok, said) = get(folder.path(), "127.1.61.1", &link, &more)?;
    assert!(!ok && said.contains("nobody who is online holds this"), "{said}");
    Ok(())
}

#[test]
fn a_link_without_a_tracker() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let link = format!("nearcast://{}/film.mp4?size=1000", "a".repeat(52));
    let (ok, said) = get(folder.path(), "127.1.62.1", &link, &["--patience", "2"])?;
    assert!(!ok && said.contains("names no tracker"), "{said}");
    Ok(())
}

#[test]
fn a_tracker_that_is_down_and_one_that_comes_up() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let film = file(at, 500_000, 63)?;
    let link = format!("nearcast://{}/film.mp4?size=1000", "a".repeat(52));
    let more = ["--tracker", "/ip4/127.0.0.1/tcp/9", "--patience", "3"];
    let (ok, said) = get(at, "127.1.63.1", &link, &more)?;
    assert!(!ok && said.contains("is the tracker running?"), "{said}");

    // A tracker that is restarted has forgotten everyone; within a renewal it knows them again.
    let mut first = Tracker::start(&at.join("tracker"), "/ip4/127.0.63.1/tcp/44063")?;
    let neighbour = Neighbour::start(at, "127.1.63.2", &first.address, &film, None)?;
    first.program.kill()?;
    drop(first);
    let viewer = std::thread::spawn({
        let (at, link) = (at.to_owned(), neighbour.link.clone());
        move || get(&at, "127.1.63.3", &link, &[])
    });
    let mut second = Tracker::start(&at.join("tracker"), "/ip4/127.0.63.1/tcp/44063")?;
    // The neighbour's next word is a renewal of a lease that is minutes long: a changed holding makes it
    // speak at once.
    drop(neighbour);
    let again = Neighbour::start(at, "127.1.63.4", &second.address, &film, None)?;
    let (ok, said) = viewer.join().map_err(|_| anyhow::anyhow!("the viewer's thread failed"))??;
    assert!(ok, "{said}");
    drop(again);
    assert!(second.program.stop()?.success());
    Ok(())
}

#[test]
fn a_tracker_that_answers_nonsense() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let listener = TcpListener::bind("127.0.64.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Whoever hangs up on nonsense is right.
            stream.write_all(&[0xff; 4096]).ok();
        }
    });
    let link = format!("nearcast://{}/film.mp4?size=1000", "a".repeat(52));
    let address = format!("/ip4/127.0.64.1/tcp/{port}");
    let (ok, said) = get(folder.path(), "127.1.64.1", &link, &["--tracker", &address, "--patience", "3"])?;
    assert!(!ok && said.contains("is of no help"), "{said}");
    Ok(())
}

#[test]
fn a_lying_size_blames_the_link_and_bans_nobody() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let film = file(at, 3_000_000, 65)?;
    let tracker = tracker(at)?;
    let neighbour = Neighbour::start(at, "127.1.65.1", &tracker.address, &film, None)?;
    for (ip, lie) in [("127.1.65.2", 2_995_904), ("127.1.65.3", 4_048_576), ("127.1.65.4", 2_999_999)] {
        let link = neighbour.link.replace("size=3000000", &format!("size={lie}"));
        let (ok, said) = get(at, ip, &link, &["--patience", "30"])?;
        assert!(!ok && said.contains("the link is wrong") && said.contains("3000000"), "{lie}: {said}");
    }
    // The same folder and the true link: whoever told the truth is still welcome.
    let (ok, said) = get(at, "127.1.65.2", &neighbour.link, &[])?;
    assert!(ok, "{said}");
    Ok(())
}

/// How a bad peer is bad.
#[derive(Clone, Copy, PartialEq)]
enum Badness {
    WrongBytes,
    Silent,
}

/// A peer in this process that is listed as a complete holder and behaves badly.
struct BadPeer {
    _runtime: tokio::runtime::Runtime,
    asked: Arc<AtomicUsize>,
}

fn bad_peer(ip: &str, tracker: &str, link: &Link, badness: Badness) -> Result<BadPeer> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let asked = Arc::new(AtomicUsize::new(0));
    let (listen, tracker): (Multiaddr, Multiaddr) = (format!("/ip4/{ip}/tcp/0").parse()?, tracker.parse()?);
    let (count, link) = (Arc::clone(&asked), link.clone());
    runtime.block_on(async move {
        let mut config = Config::new(Keypair::generate_ed25519());
        config.listen = vec![listen];
        config.neighbours = false;
        let network = Network::start(config).await?;
        let registration = Registration {
            version: "bad/1".into(),
            role: Role::Terminal,
            tcp_port: network.tcp_port(),
            quic_port: 0,
            reach: Reach::Unknown,
            medium: Medium::Unknown,
            local: Vec::new(),
            holdings: vec![Holding { resource: link.id, permille: 1000, guard: None }],
            spare_upload: 0,
        };
        match network.ask(&tracker, &Request::Register(registration), PATIENCE).await? {
            Answer::Leased(_) => {}
            other => bail!("not registered: {other:?}"),
        }
        let mut incoming = network.incoming_pieces().context("nothing comes in")?;
        tokio::spawn(async move {
            // The node lives as long as this task.
            let _network = network;
            while let Some(mut stream) = incoming.recv().await {
                let (count, link) = (Arc::clone(&count), link.clone());
                tokio::spawn(async move {
                    let hello = Hello {
                        version: VERSION,
                        resource: link.id,
                        size: link.size,
                        token: None,
                        role: Role::Terminal,
                        group: Group::UNKNOWN,
                    };
                    stream.send.send(Frame::Hello(hello)).await?;
                    for frame in Frame::have(&Blocks::from(0..link.geometry().count())) {
                        stream.send.send(frame).await?;
                    }
                    while let Some(frame) = stream.receive.next().await? {
                        let Frame::Request(request) = frame else { continue };
                        count.fetch_add(1, Ordering::Relaxed);
                        if badness == Badness::Silent {
                            continue;
                        }
                        let wanted = request.first..request.first + request.count;
                        let known = usize::from(request.known) * nearcast_content::PAIR_BYTES as usize;
                        let mut left =
                            nearcast_content::encoded_len(link.geometry(), wanted) as usize - known;
                        while left > 0 {
                            let part = left.min(MAX_FRAGMENT);
                            left -= part;
                            let payload = vec![0xab; part].into();
                            stream
                                .send
                                .send(Frame::Data(Data { id: request.id, last: left == 0, payload }))
                                .await?;
                        }
                    }
                    anyhow::Ok(())
                });
            }
        });
        anyhow::Ok(())
    })?;
    Ok(BadPeer { _runtime: runtime, asked })
}

fn despite(badness: Badness, net: u8) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let film = file(at, 6_000_000, u64::from(net))?;
    let tracker = tracker(at)?;
    // The honest one is slow enough that the bad ones are asked as well.
    let honest = Neighbour::start(at, &format!("127.1.{net}.1"), &tracker.address, &film, Some("16Mbit"))?;
    let link: Link = honest.link.parse()?;
    let bad: Vec<_> = (2..4)
        .map(|n| bad_peer(&format!("127.1.{net}.{n}"), &tracker.address, &link, badness))
        .collect::<Result<_>>()?;
    let viewer = format!("127.1.{net}.100");
    let (ok, said) = get(at, &viewer, &honest.link, &["-v"])?;
    assert!(ok, "{said}");
    assert!(fs::read(&film)? == fs::read(at.join(format!("got-{viewer}")))?);
    let asked: usize = bad.iter().map(|peer| peer.asked.load(Ordering::Relaxed)).sum();
    assert!(asked > 0, "the bad peers were never asked: nothing was tested");
    if badness == Badness::WrongBytes {
        assert!(said.contains("a peer sent wrong bytes"), "{said}");
        // Banned at once: what was in flight to each is all that they ever got.
        assert!(asked <= 2 * 64, "{asked} requests went to peers that send wrong bytes");
    }
    Ok(())
}

#[test]
fn peers_that_send_wrong_bytes_are_banned_and_the_film_goes_on() -> Result<()> {
    despite(Badness::WrongBytes, 66)
}

#[test]
fn peers_that_send_nothing_cost_time_and_nothing_else() -> Result<()> {
    despite(Badness::Silent, 67)
}

/// A small file system, if this user may mount one.
pub struct SmallDisk(pub PathBuf);

impl SmallDisk {
    pub fn mount(at: PathBuf, options: &str) -> Result<Option<Self>> {
        fs::create_dir_all(&at)?;
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at).output()?;
        if !mounted.status.success() {
            eprintln!("skipped: a file system can't be mounted here");
            return Ok(None);
        }
        Ok(Some(Self(at)))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[test]
fn a_full_disk_is_told_and_what_was_fetched_is_kept() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let film = file(at, 8_000_000, 68)?;
    let tracker = tracker(at)?;
    let neighbour = Neighbour::start(at, "127.1.68.1", &tracker.address, &film, None)?;
    let Some(disk) = SmallDisk::mount(at.join("viewer-127.1.68.2"), "size=4m")? else { return Ok(()) };
    let (ok, said) = get(at, "127.1.68.2", &neighbour.link, &[])?;
    assert!(!ok && said.contains("full") && said.contains("kept"), "{said}");
    // Room is made, and the same command goes on.
    let more = Command::new("mount").args(["-o", "remount,size=40m"]).arg(&disk.0).status()?;
    assert!(more.success());
    let (ok, said) = get(at, "127.1.68.2", &neighbour.link, &[])?;
    assert!(ok, "{said}");
    assert!(fs::read(&film)? == fs::read(at.join("got-127.1.68.2"))?);
    Ok(())
}

#[test]
fn a_folder_without_rights_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let link = format!("nearcast://{}/film.mp4?size=1000", "a".repeat(52));
    let place = at.join("viewer-127.1.69.1");
    let Some(_disk) = SmallDisk::mount(place.clone(), "size=1m,ro")? else { return Ok(()) };
    let (ok, said) = get(at, "127.1.69.1", &link, &[])?;
    assert!(!ok && said.contains(&*place.to_string_lossy()), "{said}");
    // A file where the folder should be.
    let file = at.join("viewer-127.1.69.2");
    fs::write(&file, "not a folder")?;
    let (ok, said) = get(at, "127.1.69.2", &link, &[])?;
    assert!(!ok && said.contains(&*file.to_string_lossy()), "{said}");
    Ok(())
}

#[test]
fn two_programs_on_one_folder_are_told_apart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let film = file(at, 100_000, 70)?;
    let tracker = tracker(at)?;
    let neighbour = Neighbour::start(at, "127.1.70.1", &tracker.address, &film, None)?;
    let kept = neighbour.folder.to_string_lossy().into_owned();
    let second = run("nearcast", &["share", "--folder", &kept, "--no-neighbours"])?;
    let said = String::from_utf8(second.stderr)?;
    assert!(!second.status.success() && said.contains(&kept), "{said}");
    Ok(())
}

#[test]
fn what_is_no_film_is_said_to_be_none() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let noise = file(at, 3_000_000, 71)?;
    let tracker = tracker(at)?;
    let neighbour = Neighbour::start(at, "127.1.71.1", &tracker.address, &noise, None)?;
    let kept = at.join("viewer").to_string_lossy().into_owned();
    let listen = "/ip4/127.1.71.2/tcp/0";
    let arguments =
        ["measure", &neighbour.link, "--folder", &kept, "--listen", listen, "--no-neighbours", "--play", "5"];
    let mut player = Program::start("nearcast-player", &arguments)?;
    let ended = player.wait(Duration::from_secs(100))?;
    let said = player.words();
    assert!(!ended.success() && said.contains("not a video"), "{said}");
    // The film itself is fine elsewhere: nothing is wrong with the player.
    assert!(film(Film::Short)?.is_file());
    Ok(())
}

#[test]
fn a_file_that_is_there_is_not_replaced_unasked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let film = file(at, 50_000, 72)?;
    let tracker = tracker(at)?;
    let neighbour = Neighbour::start(at, "127.1.72.1", &tracker.address, &film, None)?;
    fs::write(at.join("got-127.1.72.2"), "precious")?;
    let (ok, said) = get(at, "127.1.72.2", &neighbour.link, &[])?;
    assert!(!ok && said.contains("--force"), "{said}");
    assert_eq!(fs::read_to_string(at.join("got-127.1.72.2"))?, "precious");
    let (ok, said) = get(at, "127.1.72.2", &neighbour.link, &["--force"])?;
    assert!(ok && fs::read(at.join("got-127.1.72.2"))? == fs::read(&film)?, "{said}");
    Ok(())
}
