//! What can be typed.

use std::net::IpAddr;

use clap::{Parser, Subcommand};

use crate::settings::Settings;

/// Tell viewers who holds a film, neighbours on their own network first.
///
/// A viewer's network (an ISP, a campus, an office) is found by its address in a group table. With 40 to 50
/// holders there, a viewer is sent to exactly those; with more, to a random 50; with fewer, to all of them
/// and to others from outside.
#[derive(Debug, Parser)]
#[command(name = "nearcast-tracker", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub settings: Settings,
    /// Print a commented settings file with all defaults, and end.
    #[arg(long)]
    pub print_config: bool,
    /// Say everything that happens; RUST_LOG chooses more finely.
    #[arg(short, long)]
    pub verbose: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print which network group addresses belong to.
    Group {
        /// The addresses.
        #[arg(required = true, value_name = "ADDRESS")]
        addresses: Vec<IpAddr>,
    },
}

const EXAMPLES: &str = "\
Examples:
  nearcast-tracker --groups networks.csv
  nearcast-tracker --groups asn-ipv4.csv --groups asn-ipv6.csv
  nearcast-tracker --print-config > tracker.toml
  nearcast-tracker --config tracker.toml
  nearcast-tracker group 203.0.113.9 --groups networks.csv

A group table has a line for each address prefix: prefix,group[,name[,region]]
  203.0.113.0/24,7,North campus,north
  2001:db8::/32,7
Ranges (first,last,asn[,name]), CAIDA's pfx2as files and ASN databases (.mmdb) do too; there the group is
the AS number. A running tracker reads them anew when they change, and at the signal HUP.

Once it can be reached, the tracker prints a line for each of its addresses:
  listening on /ip4/198.51.100.4/tcp/4401/p2p/12D3…
Links and publishers name such an address.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_may_follow_the_command() {
        let typed = ["nearcast-tracker", "group", "10.0.0.1", "2001:db8::1", "--groups", "table.csv"];
        let cli = Cli::try_parse_from(typed).unwrap();
        assert_eq!(cli.settings.groups, [std::path::PathBuf::from("table.csv")]);
        assert!(matches!(cli.command, Some(Command::Group { addresses }) if addresses.len() == 2));
        assert!(Cli::try_parse_from(["nearcast-tracker", "group"]).is_err());
    }
}
