//! What the lab builds and the simulation imagines: networks, nodes, and what befalls them.
//!
//! A [`Scenario`] is a small TOML file in `tests/scenarios`. The lab makes real namespaces and processes of
//! it, the simulation a world in virtual time; that both read the same file is what makes their figures
//! comparable.
//!
//! ```toml
//! about = "Five neighbours with room to spare."
//! film = "short"
//!
//! [networks.campus]
//! border = "100Mbit"
//!
//! [[nodes]]
//! name = "neighbour"
//! kind = "holder"
//! network = "campus"
//! count = 5
//! up = "20Mbit"
//!
//! [[nodes]]
//! name = "viewer"
//! kind = "viewer"
//! network = "campus"
//! measured = true
//! ```
//!
//! | Module | What it holds |
//! | --- | --- |
//! | `film` | the films that a scenario can name |
//! | `quantity` | rates, times and shares as a person writes them |
//! | `written` | the file as written |
//! | `scenario` | the same spelt out: one entry for each network, node and fault |

mod film;
mod quantity;
mod scenario;
mod written;

pub use film::Film;
pub use quantity::{BadQuantity, Rate, Share, Time};
pub use scenario::{Fault, Harm, Kind, Line, Nat, Network, Node, Scenario, ScenarioError};
