//! How the protocol's words are written in a log.

use std::time::Duration;

use nearcast_protocol::{Blocks, Geometry, Group, Role, pieces::Class};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Role")]
pub(crate) enum RoleName {
    Terminal,
    Publisher,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Class")]
pub(crate) enum ClassName {
    Urgent,
    Ready,
    Prefetch,
    Background,
}

/// As `[[start, end], …]`.
pub(crate) mod blocks {
    use super::{Blocks, Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(blocks: &Blocks, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(blocks.runs().map(|run| (run.start, run.end)))
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Blocks, D::Error> {
        let runs = Vec::<(u64, u64)>::deserialize(from)?;
        Ok(runs.into_iter().map(|(start, end)| start..end).collect())
    }
}

/// As the size in bytes.
pub(crate) mod geometry {
    use super::{Deserialize, Deserializer, Geometry, Serializer};

    pub(crate) fn serialize<S: Serializer>(geometry: &Geometry, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(geometry.size())
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Geometry, D::Error> {
        u64::deserialize(from).map(Geometry::new)
    }
}

/// As its number.
pub(crate) mod group {
    use super::{Deserialize, Deserializer, Group, Serializer};

    pub(crate) fn serialize<S: Serializer>(group: &Group, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(group.0)
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Group, D::Error> {
        u32::deserialize(from).map(Group)
    }
}

/// As microseconds, the schedule's own grain.
pub(crate) mod micros {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_micros)
    }
}
