//! The file as written.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    film::Film,
    quantity::{Rate, Share, Time},
    scenario::{Kind, Nat},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    pub about: String,
    pub film: Film,
    #[serde(default = "default_give_up")]
    pub give_up: Time,
    pub networks: BTreeMap<String, Network>,
    pub nodes: Vec<Nodes>,
    #[serde(default)]
    pub faults: Vec<Fault>,
}

fn default_give_up() -> Time {
    Time(std::time::Duration::from_secs(180))
}

/// One network, or `count` alike.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    #[serde(default = "one")]
    pub count: usize,
    pub border: Option<Rate>,
    #[serde(default)]
    pub delay: Time,
    #[serde(default)]
    pub jitter: Time,
    #[serde(default)]
    pub loss: Share,
}

/// One node, or `count` alike in each of the networks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nodes {
    pub name: String,
    pub kind: Kind,
    pub network: Names,
    #[serde(default = "one")]
    pub count: usize,
    pub up: Option<Rate>,
    pub down: Option<Rate>,
    #[serde(default)]
    pub delay: Time,
    #[serde(default)]
    pub jitter: Time,
    #[serde(default)]
    pub loss: Share,
    pub nat: Option<Nat>,
    #[serde(default)]
    pub one_address: bool,
    #[serde(default)]
    pub measured: bool,
    #[serde(default)]
    pub arrives: Time,
    #[serde(default)]
    pub every: Time,
    pub watch: Option<Time>,
    #[serde(default)]
    pub seeks: Vec<Time>,
    #[serde(default = "after_seek")]
    pub watch_after_seek: Time,
}

fn after_seek() -> Time {
    Time(std::time::Duration::from_secs(5))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub at: Time,
    pub kill: Option<Names>,
    pub freeze: Option<Names>,
    pub thaw: Option<Names>,
    pub unplug: Option<Names>,
    pub plug: Option<Names>,
    pub slow: Option<Names>,
    pub to: Option<Rate>,
    pub restart: Option<Names>,
    pub cut: Option<Names>,
    pub heal: Option<Names>,
}

/// One name or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Names {
    One(String),
    Several(Vec<String>),
}

impl Names {
    pub fn all(&self) -> Vec<&str> {
        match self {
            Self::One(name) => vec![name],
            Self::Several(names) => names.iter().map(String::as_str).collect(),
        }
    }
}

fn one() -> usize {
    1
}
