//! A scenario's networks, laid out: a middle, a router for each network, a space for each node.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};
use nearcast_scenario::{Line, Nat, Rate, Scenario};
use serde::Serialize;

use super::{
    address,
    cable::{Cable, End, shape},
    space::Space,
    translator,
};

/// Where a node's program runs.
#[derive(Debug)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its space.
    pub space: Space,
    /// Its own address.
    pub address: Ipv4Addr,
    /// The index of its network; the tracker has none.
    pub network: Option<usize>,
    /// Where its line leaves its network's router: the router's interface.
    plug: String,
}

/// Bytes on a network's border link since it was laid, headers and all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Into the network.
    pub into: u64,
    /// Out of it.
    pub out: u64,
}

impl Traffic {
    /// What has come since `before`.
    pub fn since(self, before: Self) -> Self {
        Self { into: self.into.saturating_sub(before.into), out: self.out.saturating_sub(before.out) }
    }
}

/// All of it; gone when dropped.
pub struct Topology {
    /// The tracker's machine.
    pub tracker: Host,
    /// One for each node, in the scenario's order; at the end one for the origin.
    pub hosts: Vec<Host>,
    _cables: Vec<Cable>,
    _translators: Vec<Space>,
    routers: Vec<Space>,
    middle: Space,
}

/// What a line to lay is for.
struct Wanted<'a> {
    name: &'a str,
    network: usize,
    line: Line,
    nat: Option<Nat>,
    behind: usize,
}

impl Topology {
    /// Why no topology can be laid here, if so.
    pub fn impossible() -> Option<String> {
        let probe = Space::add("probe").and_then(|space| {
            space.nft("table ip probe { }\n")?;
            space.ip(&["tuntap add dev probe mode tun".to_owned()])
        });
        probe.err().map(|error| {
            format!("network namespaces can't be made here (it takes root, iproute2 and nftables): {error:#}")
        })
    }

    /// Lays it. `origin` adds a host for a plain server: its network and its line.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn lay(scenario: &Scenario, origin: Option<(usize, Line)>) -> Result<Self> {
        let middle = Space::add("middle")?;
        middle.forward()?;
        let (mut routers, mut cables) = (Vec::new(), Vec::new());
        let mut table = String::from(
            "table inet lab {\n set unplugged { type ifname; }\n chain f {\n type filter hook forward priority 0;\n iifname @unplugged drop\n oifname @unplugged drop\n }\n}\n",
        );
        table.push('\n');
        middle.nft(&table)?;
        for (index, network) in scenario.networks.iter().enumerate() {
            let router = Space::add(&format!("n{index}"))?;
            router.forward()?;
            router.nft(&table)?;
            let border = format!("b{index}");
            let outer = End { space: &middle, interface: &border, address: address::MIDDLE };
            let inner = End { space: &router, interface: "border", address: address::router(index) };
            cables.push(Cable::lay(outer, inner, &network.border, index as u64)?);
            let via = address::router(index);
            middle.ip(&[format!("route add {} via {via} dev {border}", address::prefix(index))])?;
            router.ip(&[format!("route add default via {} dev border", address::MIDDLE)])?;
            routers.push(router);
        }
        let tracker = Host {
            name: "tracker".into(),
            space: Space::add("tracker")?,
            address: address::TRACKER,
            network: None,
            plug: "tracker".into(),
        };
        let outer = End { space: &middle, interface: "tracker", address: address::MIDDLE };
        let inner = End { space: &tracker.space, interface: "up", address: tracker.address };
        cables.push(Cable::lay(outer, inner, &Line::default(), 0)?);
        tracker.space.ip(&[format!("route add default via {} dev up", address::MIDDLE)])?;

        let nodes = scenario.nodes.iter().map(|node| {
            let (name, behind) = (node.name.as_str(), node.behind);
            Wanted { name, network: node.network, line: node.line, nat: node.nat, behind }
        });
        let behind = usize::MAX;
        let origin =
            origin.map(|(network, line)| Wanted { name: "origin", network, line, nat: None, behind });
        let mut town =
            Self { tracker, hosts: Vec::new(), _cables: cables, _translators: Vec::new(), routers, middle };
        let mut lines = vec![0; scenario.networks.len()];
        let mut boxes: Vec<(usize, usize, usize)> = Vec::new();
        for (index, wanted) in nodes.chain(origin).enumerate() {
            town.host(index, &wanted, &mut lines, &mut boxes)?;
        }
        Ok(town)
    }

    /// `boxes`: the number in the scenario, the index of the space, how many are behind it.
    fn host(
        &mut self,
        index: usize,
        wanted: &Wanted<'_>,
        lines: &mut [usize],
        boxes: &mut Vec<(usize, usize, usize)>,
    ) -> Result<()> {
        let network = wanted.network;
        let space = Space::add(&format!("h{index}"))?;
        let Some(nat) = wanted.nat else {
            let (plug, address) = self.line(&space, network, &wanted.line, lines, index)?;
            let name = wanted.name.to_owned();
            self.hosts.push(Host { name, space, address, network: Some(network), plug });
            return Ok(());
        };
        let known = boxes.iter().position(|(behind, ..)| *behind == wanted.behind);
        let number = match known {
            Some(number) => number,
            None => {
                let translator = Space::add(&format!("t{index}"))?;
                translator.forward()?;
                let (_, outer) = self.line(&translator, network, &wanted.line, lines, index)?;
                translator.nft(&translator::rules(nat, "up", outer, address::inner(0)))?;
                self._translators.push(translator);
                boxes.push((wanted.behind, self._translators.len() - 1, 0));
                boxes.len() - 1
            }
        };
        let (_, translator, count) = boxes.get_mut(number).context("no translator")?;
        let translator = self._translators.get(*translator).context("no translator")?;
        let (port, address) = (format!("in{count}"), address::inner(*count));
        *count += 1;
        let outer = End { space: translator, interface: &port, address: address::TRANSLATOR };
        let inner = End { space: &space, interface: "up", address };
        self._cables.push(Cable::lay(outer, inner, &Line::default(), index as u64)?);
        space.ip(&[format!("route add default via {} dev up", address::TRANSLATOR)])?;
        let (name, plug) = (wanted.name.to_owned(), String::new());
        self.hosts.push(Host { name, space, address, network: Some(network), plug });
        Ok(())
    }

    /// A line from a network's router to a space, and the router's interface for it.
    fn line(
        &mut self,
        space: &Space,
        network: usize,
        line: &Line,
        lines: &mut [usize],
        seed: usize,
    ) -> Result<(String, Ipv4Addr)> {
        let router = self.routers.get(network).context("no such network")?;
        let number = lines.get_mut(network).context("no such network")?;
        let (plug, address) = (format!("l{number}"), address::line(network, *number));
        *number += 1;
        let outer = End { space: router, interface: &plug, address: address::router(network) };
        let inner = End { space, interface: "up", address };
        self._cables.push(Cable::lay(outer, inner, line, 1000 + seed as u64)?);
        space.ip(&[format!("route add default via {} dev up", address::router(network))])?;
        Ok((plug, address))
    }

    /// The group table that fits: each network a group of its own.
    pub fn groups(scenario: &Scenario) -> String {
        let mut table = String::from("prefix,group,name,region\n");
        for (index, network) in scenario.networks.iter().enumerate() {
            table.push_str(&format!("{},{},{},lab\n", address::prefix(index), index + 1, network.name));
        }
        table
    }

    /// What has crossed each network's border.
    ///
    /// # Errors
    /// When the kernel doesn't say.
    pub fn traffic(&self) -> Result<Vec<Traffic>> {
        let interfaces = self.middle.interfaces()?;
        let count = |index: usize, way: &str| {
            let name = format!("b{index}");
            let all = interfaces.as_array()?;
            let border = all.iter().find(|interface| interface["ifname"].as_str() == Some(&name))?;
            border["stats64"][way]["bytes"].as_u64()
        };
        let traffic = (0..self.routers.len()).map(|index| {
            let (into, out) = (count(index, "tx"), count(index, "rx"));
            Ok(Traffic { into: into.context("a border without a counter")?, out: out.unwrap_or_default() })
        });
        traffic.collect()
    }

    /// What each host has sent into its line, and got out of it; nothing is known of those behind a translator.
    ///
    /// # Errors
    /// When the kernel doesn't say.
    pub fn lines(&self) -> Result<Vec<Traffic>> {
        let routers = self.routers.iter().map(Space::interfaces).collect::<Result<Vec<_>>>()?;
        let line = |host: &Host| {
            let interfaces = routers.get(host.network?)?.as_array()?;
            let plug =
                interfaces.iter().find(|interface| interface["ifname"].as_str() == Some(&host.plug))?;
            let bytes = |way: &str| plug["stats64"][way]["bytes"].as_u64();
            Some(Traffic { into: bytes("tx")?, out: bytes("rx")? })
        };
        Ok(self.hosts.iter().map(|host| line(host).unwrap_or_default()).collect())
    }

    /// Pulls or puts back a host's cable: silence, as the far end notices it.
    ///
    /// # Errors
    /// When it has none of its own.
    pub fn plug(&self, host: usize, plugged: bool) -> Result<()> {
        let (router, plug) = self.router_of(host)?;
        unplug(router, plug, plugged)
    }

    /// Cuts or heals a network's border.
    ///
    /// # Errors
    /// When there is no such network.
    pub fn cut(&self, network: usize, healed: bool) -> Result<()> {
        unplug(&self.middle, &format!("b{network}"), healed)
    }

    /// Makes a host's line slow, each way.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn slow(&self, host: usize, rate: Rate) -> Result<()> {
        let (router, plug) = self.router_of(host)?;
        shape(router, plug, rate)?;
        shape(&self.hosts.get(host).context("no such node")?.space, "up", rate)
    }

    fn router_of(&self, host: usize) -> Result<(&Space, &str)> {
        let host = self.hosts.get(host).context("no such node")?;
        if host.plug.is_empty() {
            bail!("{} is behind a translator and has no cable of its own", host.name);
        }
        let router = host.network.and_then(|network| self.routers.get(network));
        Ok((router.context("no such network")?, &host.plug))
    }
}

fn unplug(router: &Space, interface: &str, plugged: bool) -> Result<()> {
    let act = if plugged { "delete" } else { "add" };
    router.nft(&format!("{act} element inet lab unplugged {{ \"{interface}\" }}\n"))
}

#[cfg(test)]
mod tests;
