//! A cable between two spaces, with a rate each way.

use std::net::Ipv4Addr;

use anyhow::Result;
use nearcast_scenario::{Line, Rate};

use super::{
    far::Far,
    space::{Space, run},
};

/// One end of a cable.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    pub space: &'a Space,
    /// The interface, 15 letters at most.
    pub interface: &'a str,
    pub address: Ipv4Addr,
}

/// A laid cable. The interfaces go with their spaces.
pub struct Cable {
    _far: Option<Far>,
}

impl Cable {
    /// Lays a cable from an outer end to an inner one, as `line` describes it from inside.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn lay(outer: End<'_>, inner: End<'_>, line: &Line, seed: u64) -> Result<Self> {
        let far = if line.delay.is_zero() && line.jitter.is_zero() && line.loss == 0.0 {
            let mut link = std::process::Command::new("ip");
            link.args(["link", "add", outer.interface, "netns", outer.space.name(), "type", "veth"]);
            link.args(["peer", "name", inner.interface, "netns", inner.space.name()]);
            run(&mut link, "")?;
            None
        } else {
            let (ends, names) = ([outer.space, inner.space], [outer.interface, inner.interface]);
            Some(Far::join(ends, names, line, seed)?)
        };
        for (here, there, rate) in [(outer, inner, line.down), (inner, outer, line.up)] {
            // One packet at a time, as on a real wire: else counters miss headers and shapers see giants.
            here.space.ip(&[
                format!("addr add {}/32 dev {}", here.address, here.interface),
                format!("link set dev {} gso_max_segs 1 up", here.interface),
                format!("route add {}/32 dev {} scope link", there.address, here.interface),
            ])?;
            if let Some(rate) = rate {
                shape(here.space, here.interface, rate)?;
            }
        }
        Ok(Self { _far: far })
    }
}

/// Sets the rate at which an interface sends.
///
/// # Errors
/// When the kernel refuses.
pub fn shape(space: &Space, interface: &str, rate: Rate) -> Result<()> {
    // A burst of 4 ms, and a buffer of 100 ms: between a cable modem's and a good router's.
    let burst = (rate.0 / 8 / 250).max(3_100);
    let buffer = (rate.0 / 8 / 10).max(30_000) + burst;
    space.tc(&format!(
        "qdisc replace dev {interface} root tbf rate {}bit burst {burst}b limit {buffer}b",
        rate.0
    ))
}
