//! Whom this node has dialled with success, remembered from one run to the next: where no tracker answers, these know
//! others who may hold what is looked for.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nearcast_network::{Network, split_peer};
use nearcast_protocol::{Multiaddr, PeerId};
use tokio::time::{MissedTickBehavior, interval};

/// The most that are remembered; the oldest is forgotten for a new one.
const REMEMBERED: usize = 64;
/// More of the file isn't read.
const LONGEST: u64 = 64 * 1024;
/// How often they are written down, if anything has changed.
const SAVED: Duration = Duration::from_secs(60);

/// The file, an address with its peer a line, and what is in it.
pub(crate) struct Acquaintances {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The last one met at the end.
    addresses: VecDeque<Multiaddr>,
    unsaved: bool,
}

impl Acquaintances {
    /// Reads the file; one that can't be read is as good as none.
    pub fn read(folder: &Path, network: &Network) -> Self {
        let path = folder.join("met");
        let addresses = read(&path).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "whom this node has met is forgotten");
            }
            VecDeque::new()
        });
        for (at, peer) in addresses.iter().map(split_peer) {
            peer.map(|peer| network.met(peer, at));
        }
        Self { path, known: Mutex::new(Known { addresses, unsaved: false }) }
    }

    /// A peer was dialled with success.
    pub fn met(&self, network: &Network, peer: PeerId, at: Multiaddr) {
        let Ok(address) = at.clone().with_p2p(peer) else { return };
        if !network.met(peer, at) {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.addresses.retain(|other| split_peer(other).1 != Some(peer));
        known.addresses.push_back(address);
        if known.addresses.len() > REMEMBERED {
            known.addresses.pop_front();
        }
        known.unsaved = true;
    }

    /// Writes them down now and then, for as long as it is polled.
    pub async fn keep(self: Arc<Self>) {
        let mut tick = interval(SAVED);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let this = Arc::clone(&self);
            // Its only failure is a panic, which has been reported by then.
            tokio::task::spawn_blocking(move || this.save()).await.ok();
        }
    }

    /// Writes down what has changed. May block.
    pub fn save(&self) {
        let lines: String = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if !std::mem::take(&mut known.unsaved) {
                return;
            }
            known.addresses.iter().map(|address| format!("{address}\n")).collect()
        };
        if let Err(error) = write(&self.path, &lines) {
            tracing::warn!(path = %self.path.display(), %error, "whom this node has met can't be written down");
        }
    }
}

fn read(path: &Path) -> io::Result<VecDeque<Multiaddr>> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    let addresses = text.lines().filter_map(|line| line.parse().ok());
    Ok(addresses.filter(|address| split_peer(address).1.is_some()).take(REMEMBERED).collect())
}

fn write(path: &Path, lines: &str) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(lines.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use nearcast_network::{Config, Keypair};

    use super::*;

    async fn network() -> Network {
        let mut config = Config::new(Keypair::generate_ed25519());
        config.listen = vec!["/ip4/127.1.47.1/tcp/0".parse().unwrap()];
        (config.neighbours, config.map_ports) = (false, false);
        Network::start(config).await.unwrap()
    }

    #[tokio::test]
    async fn the_newest_are_remembered_and_what_is_no_address_is_passed_over() {
        let (folder, network) = (tempfile::tempdir().unwrap(), network().await);
        let file = folder.path().join("met");
        fs::write(&file, b"nonsense\n/ip4/203.0.113.5/tcp/1\n\n").unwrap();
        let met = Acquaintances::read(folder.path(), &network);
        let at = |port: usize| format!("/ip4/203.0.113.5/tcp/{port}").parse::<Multiaddr>().unwrap();
        let peers: Vec<_> = (0..REMEMBERED + 3).map(|_| PeerId::random()).collect();
        for (port, peer) in peers.iter().enumerate() {
            met.met(&network, *peer, at(port + 1));
        }
        // One that has moved, and one that only makes sense to neighbours.
        met.met(&network, peers[9], at(9999));
        met.met(&network, PeerId::random(), "/ip4/192.168.1.5/tcp/7".parse().unwrap());
        met.save();
        let again = read(&file).unwrap();
        assert_eq!(again.len(), REMEMBERED);
        assert_eq!(again.back(), at(9999).with_p2p(peers[9]).ok().as_ref());
        assert!(again.iter().all(|address| address.to_string().contains("203.0.113.5")));
        // Bytes that are no text lose nothing but themselves.
        fs::write(&file, [0xff; 10]).unwrap();
        assert!(Acquaintances::read(folder.path(), &network).known.lock().unwrap().addresses.is_empty());
    }
}
