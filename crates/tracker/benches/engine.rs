//! What the tracker's memory costs, in time and in bytes, without the network.
//!
//! `cargo bench -p nearcast-tracker --bench engine [-- HOLDINGS … [ROW]]`, by default 2000000 and every row
//! whose name has ROW in it. Each size is filled anew: nodes of 20 holdings and two local addresses each, a quarter of them with IPv6; one resource for 200
//! holdings and a thousand networks, both by Zipf's law with exponent 1. Every list goes to another asker and
//! each of its peers is read where it lies; the last lines make messages of it. Rates are by the
//! time that the one thread had a processor (Linux), since the machine has other work too. Asserts nothing.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use nearcast_protocol::{
    Group, PeerId, ResourceId, Role,
    tracker::{Find, Holding, Medium, Reach, Received, Registration, Renewal, Request, Rule},
};
use nearcast_tracker::{Caller, GroupTable, Limits, Place, Rules, Server, Swarm, TopUp};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};

const EACH: usize = 20;
const NETWORKS: usize = 1_000;
const REGIONS: u32 = 30;
/// How long each figure is measured.
const TIME: Duration = Duration::from_secs(2);
/// So many askers, that their answers don't come out of the processor's nearest cache.
const ASKERS: usize = 50_000;

fn main() {
    let mut sizes: Vec<usize> = std::env::args().filter_map(|size| size.parse().ok()).collect();
    if sizes.is_empty() {
        sizes.push(2_000_000);
    }
    sizes.into_iter().for_each(measure);
}

fn measure(holdings: usize) {
    let mut world = World::new(holdings);
    let before = resident();
    let filling = world.fill();
    let bytes = resident().saturating_sub(before);
    let (nodes, held) = (world.swarm.nodes(), world.swarm.holdings());
    println!("{nodes} nodes, {held} holdings, {} resources, {NETWORKS} networks", world.swarm.resources());
    println!("  {:<46} {:>12.1}", "bytes a holding, all in", bytes as f64 / held as f64);
    told("registrations of 20 holdings", nodes, filling, "");

    let in_range = world.askers(Rule::InRange);
    let above = world.askers(Rule::AboveRange);
    let below = world.askers(Rule::ToppedUp);
    world.ask("lists in range", &in_range, read);
    world.ask("lists above the range", &above, read);
    for top_up in [TopUp::Mixed, TopUp::Nearest, TopUp::Best, TopUp::Random] {
        world.swarm.set_rules(Rules { top_up, ..rules() });
        world.ask(&format!("lists filled up, {top_up:?}").to_lowercase(), &below, read);
    }
    world.swarm.set_rules(rules());
    world.renew();
    world.ask("lists in range, as messages", &in_range, whole);
    world.ask("lists filled up, as messages", &below, whole);
    world.save();
    world.half_load();
    println!();
}

fn rules() -> Rules {
    Rules { nodes: usize::MAX, holdings: usize::MAX, per_prefix: usize::MAX, ..Rules::default() }
}

struct World {
    swarm: Swarm,
    nodes: usize,
    dice: StdRng,
    resources: Zipf,
    networks: Zipf,
    now: Duration,
    /// What has the swarm once callers are answered.
    server: Option<Server>,
}

type Asker = (Caller, ResourceId);

impl World {
    fn new(holdings: usize) -> Self {
        Self {
            swarm: Swarm::new(rules()),
            nodes: holdings / EACH,
            dice: StdRng::seed_from_u64(1),
            resources: Zipf::new(holdings / 200),
            networks: Zipf::new(NETWORKS),
            now: Duration::from_secs(1),
            server: None,
        }
    }

    /// Registers all nodes, and says how long the swarm took for it.
    fn fill(&mut self) -> Duration {
        let mut taken = Duration::ZERO;
        for node in 0..self.nodes {
            let (caller, registration) = (self.caller(node), self.registration(node));
            let began = Instant::now();
            self.swarm.register(self.now, &caller, &registration, &mut self.dice).unwrap();
            taken += began.elapsed();
        }
        taken
    }

    /// The same for the same number: nothing has to be remembered for it.
    fn caller(&self, node: usize) -> Caller {
        let mut dice = StdRng::seed_from_u64(node as u64);
        let mut id = [0; 38];
        dice.fill_bytes(&mut id);
        // An Ed25519 key.
        id[..6].copy_from_slice(&[0, 36, 8, 1, 18, 32]);
        let network = self.networks.draw(&mut dice) as u32;
        // A network has some 64 nodes in each /24 or /48.
        let prefixes = (self.nodes as u32 / (8 * 64 * (network + 1))).clamp(1, 1 << 14);
        let prefix = network << 14 | dice.random_range(0..prefixes);
        let observed: IpAddr = if dice.random_range(0..4) == 0 {
            let [high, low] = [prefix >> 16, prefix & 0xffff].map(|part| part as u16);
            Ipv6Addr::new(0x2001, high, low, dice.random(), 0, 0, 0, 1).into()
        } else {
            Ipv4Addr::from(prefix << 8 | dice.random_range(1..255)).into()
        };
        let place = Place { group: Group(network + 1), region: network % REGIONS + 1 };
        Caller { peer: PeerId::from_bytes(&id).unwrap(), observed, place }
    }

    fn registration(&mut self, node: usize) -> Registration {
        let mut held: Vec<usize> = Vec::with_capacity(EACH);
        while held.len() < EACH {
            let resource = self.resources.draw(&mut self.dice);
            if !held.contains(&resource) {
                held.push(resource);
            }
        }
        let permille = |half: bool| if half { 1000 } else { 400 };
        let holdings = held.into_iter().map(|resource| Holding {
            resource: id_of(resource),
            permille: permille(self.dice.random()),
            guard: None,
        });
        let local = ["tcp/4400", "udp/4400/quic-v1"];
        Registration {
            version: String::new(),
            role: if node.is_multiple_of(1_000) { Role::Publisher } else { Role::Terminal },
            tcp_port: 4400,
            quic_port: 4400,
            reach: if node.is_multiple_of(3) { Reach::Public } else { Reach::Nat },
            medium: Medium::Unknown,
            local: local.iter().map(|at| format!("/ip4/192.168.1.7/{at}").parse().unwrap()).collect(),
            holdings: holdings.collect(),
            spare_upload: 1_000_000 << (node % 8),
        }
    }

    /// Askers whose lists come about in this way, as Zipf's law has them ask.
    fn askers(&mut self, rule: Rule) -> Vec<Asker> {
        let mut askers = Vec::new();
        for try_ in 0..100 * ASKERS {
            let caller = self.caller(self.nodes + try_);
            let asked = id_of(self.resources.draw(&mut self.dice));
            let counts = self.swarm.count(self.now, &caller, &asked);
            let of_this = match counts.in_group {
                0..40 => rule == Rule::ToppedUp && counts.outside >= 200,
                40..=50 => rule == Rule::InRange,
                _ => rule == Rule::AboveRange,
            };
            if of_this {
                askers.push((caller, asked));
            }
            if askers.len() == ASKERS {
                break;
            }
        }
        askers
    }

    fn ask(&mut self, what: &str, askers: &[Asker], ask: fn(&mut Self, &Asker) -> usize) {
        if !chosen(what) {
            return;
        }
        let (mut peers, mut times) = (0, Vec::with_capacity(askers.len()));
        let (began, worked) = (Instant::now(), Worked::now());
        while began.elapsed() < TIME {
            for asker in askers {
                let began = Instant::now();
                peers += ask(self, asker);
                times.push(began.elapsed().as_nanos() as u32);
            }
        }
        let elapsed = worked.elapsed();
        times.sort_unstable();
        let within = |thousandths: usize| f64::from(times[times.len() * thousandths / 1000]) / 1e3;
        let (half, most) = (within(500), within(999));
        let mean = peers as f64 / times.len() as f64;
        told(
            what,
            times.len(),
            elapsed,
            &format!("{mean:.1} peers each, half within {half:.1} µs, 99.9 % within {most:.1} µs"),
        );
    }

    fn renew(&mut self) {
        let callers: Vec<_> = (0..ASKERS).map(|n| self.caller(n * 7919 % self.nodes)).collect();
        let received = Received { own_group: 1_000, other_groups: 100, publishers: 10 };
        let renewal = Renewal { received, spare_upload: 5_000_000, ..Renewal::default() };
        for brief in [true, false] {
            let what = if brief { "renewals without changes" } else { "renewals, as messages" };
            if !chosen(what) {
                continue;
            }
            let (mut renewals, began, worked) = (0, Instant::now(), Worked::now());
            while began.elapsed() < TIME {
                for caller in &callers {
                    let Self { swarm, now, dice, .. } = self;
                    // Some 2,000 renewals a second, as a million nodes make of it.
                    *now += Duration::from_micros(500);
                    let known = match brief {
                        true => swarm.renew_briefly(*now, caller, &renewal, dice).is_some(),
                        false => swarm.renew(*now, caller, &renewal, dice).is_some(),
                    };
                    renewals += usize::from(known);
                }
                self.now = Duration::from_secs(1);
            }
            told(what, renewals, worked.elapsed(), "");
        }
    }
}

impl World {
    /// Lists are asked for at half the rate that one thread gives them at, at moments that chance chooses, first
    /// alone and then while a snapshot is saved and all nodes get their groups anew. A caller's time is from the
    /// moment it comes, so one who waits for another counts that too.
    fn half_load(&mut self) {
        if !chosen("half load") {
            return;
        }
        let server = self.server.take().unwrap_or_else(|| {
            Server::new(std::mem::replace(&mut self.swarm, Swarm::new(rules())), GroupTable::default())
        });
        let most = u32::MAX;
        server.set_limits(Limits { pace: most, burst: most, distinct: most, ..Limits::default() });
        let (mut number, mut bytes) = (0u32, Vec::new());
        let mut ask = |world: &mut Self| {
            number = number.wrapping_add(1);
            let caller = Ipv4Addr::from(0x0a00_0000 + number % ASKERS as u32).into();
            let film = id_of(world.resources.draw(&mut world.dice));
            let request = Request::Find(Find { resource: film, token: None, stalled: false });
            let mut peer = [0; 38];
            peer[..6].copy_from_slice(&[0, 36, 8, 1, 18, 32]);
            peer[6..10].copy_from_slice(&(number % ASKERS as u32).to_be_bytes());
            bytes.clear();
            server.answer_to(PeerId::from_bytes(&peer).unwrap(), caller, &request, &mut bytes);
            black_box(&bytes);
        };
        let (mut peak, began) = (0u32, Instant::now());
        while began.elapsed() < TIME {
            ask(self);
            peak += 1;
        }
        let pause = 2.0 * began.elapsed().as_secs_f64() / f64::from(peak);
        for busy in [false, true] {
            let folder = std::env::temp_dir().join(format!("nearcast-engine-{}", std::process::id()));
            let path = folder.join("snapshot");
            let working = std::thread::spawn({
                let server = server.clone();
                move || match busy {
                    true => {
                        server.save(&path).unwrap();
                        server.set_table(GroupTable::parse("10.0.0.0/8,1,North\n").unwrap());
                        std::fs::remove_dir_all(folder).unwrap();
                    }
                    false => std::thread::sleep(TIME),
                }
            });
            let (mut waits, began, mut next) = (Vec::new(), Instant::now(), 0.0);
            while !working.is_finished() {
                next -= pause * (1.0 - self.dice.random::<f64>()).ln();
                let comes = Duration::from_secs_f64(next);
                while began.elapsed() < comes {
                    std::hint::spin_loop();
                }
                ask(self);
                waits.push(began.elapsed() - comes);
            }
            waits.sort_unstable();
            let within = |thousandths: usize| waits[waits.len() * thousandths / 1000].as_secs_f64() * 1e3;
            println!(
                "  half load, {:<35} {:>10.0} k/s  {:.3} ms in half of the cases, {:.2} in 99 of 100, {:.2} in 999 of 1000, {:.1} at most",
                if busy { "snapshot and reload under way" } else { "nothing else under way" },
                waits.len() as f64 / began.elapsed().as_secs_f64() / 1e3,
                within(500),
                within(990),
                within(999),
                waits.last().map_or(0.0, |wait| wait.as_secs_f64() * 1e3),
            );
        }
    }

    /// Saves everything while somebody goes on asking, and takes it in again.
    fn save(&mut self) {
        if !chosen("snapshot") {
            return;
        }
        let folder = std::env::temp_dir().join(format!("nearcast-engine-{}", std::process::id()));
        let path = folder.join("snapshot");
        let swarm = std::mem::replace(&mut self.swarm, Swarm::new(rules()));
        let server = Server::new(swarm, GroupTable::default());
        self.server = Some(server.clone());
        let saving = std::thread::spawn({
            let (server, path) = (server.clone(), path.clone());
            move || {
                let (began, worked) = (Instant::now(), Worked::now());
                server.save(&path).unwrap();
                (began.elapsed(), worked.elapsed())
            }
        });
        let (mut waits, mut number) = (Vec::new(), 0u32);
        while !saving.is_finished() {
            number = number.wrapping_add(1);
            // Addresses and films vary, so that the pace allows it.
            let caller = Ipv4Addr::from(0x0a00_0000 + number % (1 << 22)).into();
            let began = Instant::now();
            black_box(server.answer(PeerId::random(), caller, &Request::Count(id_of(number as usize % 100))));
            waits.push(began.elapsed());
            std::thread::sleep(Duration::from_micros(50));
        }
        let (took, worked) = saving.join().unwrap();
        waits.sort_unstable();
        let within = |thousandths: usize| waits[waits.len() * thousandths / 1000].as_secs_f64() * 1e3;
        let bytes = std::fs::metadata(&path).unwrap().len();
        println!(
            "  snapshot: {:.1} s, {:.1} s of them at work, {} MB; {} callers meanwhile waited {:.2} ms in 99 of 100 \
             cases, {:.2} in 999 of 1000, {:.2} at most",
            took.as_secs_f64(),
            worked.as_secs_f64(),
            bytes / 1_000_000,
            waits.len(),
            within(990),
            within(999),
            waits.last().unwrap().as_secs_f64() * 1e3,
        );
        let again = Server::new(Swarm::new(rules()), GroupTable::default());
        let began = Instant::now();
        let restored = again.restore(&path).unwrap().unwrap();
        println!(
            "  taken in again: {} nodes, {} holdings in {:.1} s",
            restored.nodes,
            restored.holdings,
            began.elapsed().as_secs_f64()
        );
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// Reads all that a message would tell of each peer.
fn read(world: &mut World, (caller, resource): &Asker) -> usize {
    let listing = world.swarm.choose(world.now, caller, resource, &mut world.dice);
    let mut peers = 0;
    for peer in listing.peers() {
        black_box((peer.identity()[0], peer.observed(), peer.ports(), peer.permille(), peer.group()));
        peers += 1;
    }
    peers
}

fn whole(world: &mut World, (caller, resource): &Asker) -> usize {
    black_box(world.swarm.find(world.now, caller, resource, false, &mut world.dice)).peers.len()
}

fn id_of(resource: usize) -> ResourceId {
    let mut id = [0; 32];
    StdRng::seed_from_u64(!(resource as u64)).fill_bytes(&mut id);
    ResourceId::from_bytes(id)
}

/// Numbers from 0, each as likely as its place in the row says: the n-th in proportion to 1/n.
struct Zipf {
    up_to: Vec<f64>,
}

impl Zipf {
    fn new(many: usize) -> Self {
        let mut sum = 0.0;
        let up_to = (1..=many.max(1)).map(|place| {
            sum += 1.0 / place as f64;
            sum
        });
        Self { up_to: up_to.collect() }
    }

    fn draw(&self, dice: &mut StdRng) -> usize {
        let at = dice.random_range(0.0..*self.up_to.last().unwrap());
        self.up_to.partition_point(|sum| *sum <= at)
    }
}

fn told(what: &str, many: usize, time: Duration, more: &str) {
    let rate = many as f64 / time.as_secs_f64() / 1e3;
    println!("  {what:<46} {rate:>10.0} k/s  {more}");
}

/// Whether a row is wanted.
fn chosen(what: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    words.all(|word| word.parse::<usize>().is_ok() || what.contains(&word))
}

/// The time this thread had a processor.
struct Worked(Instant, Option<u64>);

impl Worked {
    fn now() -> Self {
        let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        Self(Instant::now(), schedule.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()))
    }

    fn elapsed(self) -> Duration {
        match (self.1, Self::now().1) {
            (Some(began), Some(now)) => Duration::from_nanos(now - began),
            _ => self.0.elapsed(),
        }
    }
}

/// Bytes of this process that are in memory (Linux; 0 elsewhere).
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default() * 4096
}
