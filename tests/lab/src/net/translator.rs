//! Boxes that translate addresses, as homes and offices have them.

use std::net::Ipv4Addr;

use nearcast_scenario::Nat;

/// The rules, in the words of nftables, for a box whose outer interface is `outside`. `first` is the first
/// node behind it: whoever is let in without having been asked is led to that one.
pub fn rules(nat: Nat, outside: &str, outer: Ipv4Addr, first: Ipv4Addr) -> String {
    let masquerade = match nat {
        // A port of chance for every connection: each destination sees another.
        Nat::Symmetric => "masquerade fully-random",
        // The kernel keeps the port where it can: all destinations see the same.
        Nat::FullCone | Nat::AddressRestricted | Nat::PortRestricted => "masquerade",
    };
    let (noted, led_in) = match nat {
        Nat::FullCone => (String::new(), format!("iifname \"{outside}\" ip daddr {outer} dnat to {first}")),
        Nat::AddressRestricted => (
            format!("oifname \"{outside}\" update @asked {{ ip daddr }}"),
            format!("iifname \"{outside}\" ip saddr @asked dnat to {first}"),
        ),
        Nat::PortRestricted | Nat::Symmetric => (String::new(), String::new()),
    };
    // As routers have it, nobody outside speaks to the box itself either. Else the kernel would note the packet of
    // one who knocks too early as a connection with the box, and give the node behind it another port.
    format!(
        "table ip lab {{
            set asked {{ type ipv4_addr; flags dynamic, timeout; timeout 5m; }}
            chain note {{
                type filter hook forward priority 0;
                {noted}
            }}
            chain in {{
                type nat hook prerouting priority dstnat;
                {led_in}
            }}
            chain out {{
                type nat hook postrouting priority srcnat;
                oifname \"{outside}\" {masquerade}
            }}
            chain closed {{
                type filter hook forward priority 10;
                iifname \"{outside}\" ct status dnat accept
                iifname \"{outside}\" ct state new drop
            }}
            chain own {{
                type filter hook input priority 0;
                iifname \"{outside}\" ip protocol udp ct state new drop
            }}
        }}
"
    )
}
