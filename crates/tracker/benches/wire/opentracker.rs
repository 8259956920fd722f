//! `opentracker`, a tracker for BitTorrent, by its UDP protocol (BEP 15).

use std::{
    net::UdpSocket,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::TIME;

const PEERS: u32 = 600_000;
const TORRENTS: u32 = 10_000;
const WINDOW: usize = 128;
const MAGIC: u64 = 0x0417_2710_1980;

struct Tracker(Child);

impl Drop for Tracker {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Tracker {
    fn busy(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        let mut fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
        let mut ticks = || fields.next().and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or_default();
        // A tick is 10 ms on Linux (USER_HZ).
        Duration::from_millis(10 * (ticks() + ticks()))
    }
}

/// Announces a second of a core, with so many peers asked for.
///
/// # Errors
/// With why it isn't measured.
pub fn announces(wanted: u32) -> Result<f64, String> {
    let port = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_err(said)?.port();
    // Debian's is built to track what is listed.
    let folder = tempfile::tempdir().map_err(said)?;
    let hex = |torrent| blake3::hash(&u32::to_be_bytes(torrent)).to_hex()[..40].to_uppercase() + "\n";
    std::fs::write(folder.path().join("whitelist"), (0..TORRENTS).map(hex).collect::<String>())
        .map_err(said)?;
    let port_said = port.to_string();
    let mut command = Command::new("opentracker");
    command.args(["-i", "127.0.0.1", "-p", &port_said, "-P", &port_said, "-w", "whitelist", "-d"]);
    command.arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let tracker = Tracker(command.spawn().map_err(|_| "it isn't installed".to_owned())?);
    let socket = UdpSocket::bind("127.1.0.1:0").map_err(said)?;
    socket.connect(("127.0.0.1", port)).map_err(said)?;
    socket.set_read_timeout(Some(Duration::from_millis(100))).map_err(said)?;
    let connection = connect(&socket)?;
    // All are there before anything is measured.
    load(&socket, connection, wanted, |sent| sent < PEERS);
    let (began, before) = (Instant::now(), tracker.busy());
    let (answered, listed) = load(&socket, connection, wanted, |_| began.elapsed() < TIME);
    if listed < answered * u64::from(wanted) * 9 / 10 {
        return Err(format!("it lists {listed} peers in {answered} answers"));
    }
    Ok(answered as f64 / (tracker.busy() - before).as_secs_f64())
}

fn said(error: std::io::Error) -> String {
    error.to_string()
}

fn connect(socket: &UdpSocket) -> Result<[u8; 8], String> {
    let mut question = Vec::new();
    question.extend(MAGIC.to_be_bytes());
    question.extend([0; 4]);
    question.extend(7u32.to_be_bytes());
    for _ in 0..50 {
        // It may not listen yet.
        if socket.send(&question).is_err() {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        }
        let mut room = [0; 64];
        match socket.recv(&mut room) {
            Ok(16) => return room[8..16].try_into().map_err(|_| "it answers nonsense".to_owned()),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    Err("it doesn't answer".into())
}

fn load(socket: &UdpSocket, connection: [u8; 8], wanted: u32, go_on: impl Fn(u32) -> bool) -> (u64, u64) {
    let (mut sent, mut answered, mut listed) = (0u32, 0u64, 0u64);
    let mut room = [0; 2048];
    while go_on(sent) {
        for _ in 0..WINDOW {
            let peer = sent % PEERS;
            let mut announce = Vec::with_capacity(98);
            announce.extend(connection);
            announce.extend(1u32.to_be_bytes());
            announce.extend(sent.to_be_bytes());
            announce.extend(&blake3::hash(&(peer % TORRENTS).to_be_bytes()).as_bytes()[..20]);
            announce.extend(&blake3::hash(&peer.to_be_bytes()).as_bytes()[..20]);
            // Nothing is had yet: who has it all isn't told of others who do.
            announce.extend([0; 8]);
            announce.extend(1u64.to_be_bytes());
            announce.extend([0; 8]);
            announce.extend([0; 4]);
            announce.extend([0; 4]);
            announce.extend(peer.to_be_bytes());
            announce.extend(wanted.to_be_bytes());
            announce.extend((1024 + (peer / TORRENTS) as u16).to_be_bytes());
            socket.send(&announce).ok();
            sent += 1;
        }
        for _ in 0..WINDOW {
            match socket.recv(&mut room) {
                // Head, then six bytes a peer.
                Ok(len) => {
                    answered += 1;
                    listed += (len as u64).saturating_sub(20) / 6;
                }
                Err(_) => break,
            }
        }
    }
    (answered, listed)
}
