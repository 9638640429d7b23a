//! Findings about an interface: whether packets get through it, and how fast.

use super::{
    super::{
        facts::{Abilities, Facts, Interface, Part, Way},
        finding::{Finding, Sheet},
    },
    offloads,
};
use crate::model::{AttachMode, Mode};

/// Longest packet that fits into one page with what the kernel puts around it: headroom 256, `skb_shared_info` 320, Ethernet
/// header with two tags 22. Native programs without fragments see no longer ones.
const LONGEST_IN_A_PAGE: u32 = 4096 - 256 - 320 - 22;
/// A VLAN tag.
const TAG: u32 = 4;
/// Fewer descriptors than this overflow while a CPU is busy elsewhere for a millisecond, at a million packets a second.
const SMALL_RING: u32 = 1024;

pub(super) fn findings(interface: &Interface, facts: &Facts) -> Vec<Finding> {
    let mut sheet = Sheet::about(&interface.name);
    link(interface, &mut sheet);
    program(interface, facts, &mut sheet);
    driver(interface, facts, &mut sheet);
    queues(interface, facts, &mut sheet);
    ring(interface, &mut sheet);
    mtu(interface, facts, &mut sheet);
    offloads::findings(interface, facts, &mut sheet);
    rp_filter(interface, facts, &mut sheet);
    probes(interface, facts, &mut sheet);
    sheet.finish()
}

fn link(interface: &Interface, sheet: &mut Sheet) {
    let mac = interface.mac.map_or_else(|| "no MAC".to_owned(), |mac| mac.to_string());
    if interface.up {
        sheet.good("link", format!("up, {mac}"));
    } else {
        let remedy = format!("ip link set {} up; look at the cable and the switch's port", interface.name);
        sheet.breaks("link", "link-down", "it is down, or has no carrier", remedy);
    }
}

fn program(interface: &Interface, facts: &Facts, sheet: &mut Sheet) {
    let name = &interface.name;
    match &interface.program {
        Some(program) if !program.is_ours => {
            let called = program.name.as_deref().unwrap_or("without a name");
            let off = if program.mode == Mode::Native { "xdp" } else { "xdpgeneric" };
            sheet.breaks(
                "xdp program",
                "other-program",
                format!("it has another XDP program, {called} (id {}, {})", program.id, program.mode),
                format!(
                    "detach it: ip link set dev {name} {off} off, or what attached it (bpftool net; another instance: vip \
                     detach --instance NAME)"
                ),
            );
        }
        Some(program) if program.mode == Mode::Native => {
            sheet.good("xdp program", format!("the director, native (id {})", program.id));
        }
        Some(_) => sheet.warning(
            "xdp program",
            "generic-mode",
            "the director, generic: each packet costs several times as much",
            match interface.abilities {
                Ok(Some(abilities)) if abilities.basic => "the driver can do it natively: see the log of `vip run` for why \
                                                           it did not; then `vip detach` and `vip run --mode native`",
                _ => "take a NIC whose driver knows XDP",
            },
        ),
        None if interface.part != Part::Candidate && facts.director.works() => sheet.breaks(
            "xdp program",
            "not-attached",
            "the director is not attached to it: what comes in here is not forwarded",
            "vip reload, or start `vip run`; its log says why it is not attached",
        ),
        None => sheet.good("xdp program", "none is in the way"),
    }
}

fn driver(interface: &Interface, facts: &Facts, sheet: &mut Sheet) {
    let name = match &interface.driver {
        Ok(name) => name.as_str(),
        Err(_) => "an unknown driver",
    };
    let native =
        interface.program.as_ref().is_some_and(|program| program.is_ours && program.mode == Mode::Native);
    let others = facts.interfaces.iter().filter(|other| other.part != Part::Candidate).count() > 1;
    match &interface.abilities {
        Err(why) => sheet.unknown("driver", why),
        Ok(None) => sheet.note(
            "driver",
            "untold",
            format!("{name}; what it can do for XDP this kernel does not tell (Linux 6.3 does)"),
        ),
        Ok(Some(abilities)) if !abilities.basic && !native => {
            let wanted = facts.director.config.as_ref().map(|config| config.mode);
            let words = format!("{name} knows no XDP: generic mode alone works, at several times the cost");
            if wanted == Some(AttachMode::Native) {
                sheet.breaks("driver", "no-native", words, "set mode = \"auto\", or take a NIC whose driver knows XDP");
            } else {
                sheet.warning("driver", "no-native", words, "take a NIC whose driver knows XDP, or live with it");
            }
        }
        Ok(Some(abilities)) if native && others && !abilities.transmit => sheet.breaks(
            "driver",
            "no-redirect",
            format!("{name} takes no packets from the programs of other interfaces (ndo-xmit)"),
            "take a NIC whose driver can, have its backends and its clients on one interface, or set mode = \"generic\"",
        ),
        Ok(Some(abilities)) => sheet.good("driver", format!("{name}, XDP: {}", words(*abilities))),
    }
}

fn words(abilities: Abilities) -> String {
    let named = [
        (abilities.basic, "basic"),
        (abilities.redirect, "redirect"),
        (abilities.transmit, "ndo-xmit"),
        (abilities.fragments, "rx-sg"),
    ];
    named.iter().filter(|(has, _)| *has).map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
}

fn queues(interface: &Interface, facts: &Facts, sheet: &mut Sheet) {
    let queues = match &interface.queues {
        Ok(Some(queues)) => *queues,
        Ok(None) => {
            return sheet.note("queues", "untold", "the driver does not tell how many RX queues it has");
        }
        Err(why) => return sheet.unknown("queues", why),
    };
    let cpus = facts.machine.cpus;
    let more = queues.most.min(cpus);
    let words = format!("{} RX, at most {}, for {cpus} CPUs", queues.now, queues.most);
    if queues.now < more {
        let remedy = format!("ethtool -L {} combined {more} (or rx {more})", interface.name);
        if queues.now == 1 {
            sheet.warning("queues", "one-queue", format!("{words}: one CPU does all the work"), remedy);
        } else {
            sheet.advise("queues", "few-queues", words, remedy);
        }
    } else if queues.now == 1 && cpus > 1 {
        sheet.note("queues", "one-queue", format!("{words}: one CPU does all the work"));
    } else {
        sheet.good("queues", words);
    }
}

fn ring(interface: &Interface, sheet: &mut Sheet) {
    match &interface.ring {
        Ok(Some(ring)) if ring.now < SMALL_RING && ring.now < ring.most => {
            let more = ring.most.min(4 * SMALL_RING);
            sheet.advise(
                "ring",
                "small-ring",
                format!("{} descriptors in each RX queue: bursts overflow it", ring.now),
                format!("ethtool -G {} rx {more}", interface.name),
            );
        }
        Ok(Some(ring)) => {
            sheet.good("ring", format!("{} descriptors in each RX queue, at most {}", ring.now, ring.most));
        }
        Ok(None) => sheet.note("ring", "untold", "the driver does not tell how large its rings are"),
        Err(why) => sheet.unknown("ring", why),
    }
}

fn mtu(interface: &Interface, facts: &Facts, sheet: &mut Sheet) {
    let own = interface.mtu;
    let leads = |backend: &&super::super::facts::Backend| backend.way == Ok(Way::Out(interface.name.clone()));
    let tags = facts.backends.iter().filter(leads).map(|backend| backend.tags).max();
    let ports = facts.interfaces.iter().filter(|port| port.part == Part::Port && port.name != interface.name);
    let longest = ports.max_by_key(|port| port.mtu);
    // One tag more than the MTU has room for is let through (include/linux/netdevice.h, `__is_skb_forwardable`).
    let needed = |port: &Interface| port.mtu + TAG * tags.unwrap_or_default().saturating_sub(1);
    let native = interface.program.as_ref().is_some_and(|program| program.mode == Mode::Native);
    let fragments = matches!(interface.abilities, Ok(Some(abilities)) if abilities.fragments);
    match longest {
        Some(port) if tags.is_some() && needed(port) > own => sheet.breaks(
            "mtu",
            "mtu-mismatch",
            format!("{own}, but packets of up to {} bytes come in by {} for backends here: longer ones are lost in silence", needed(port), port.name),
            format!("ip link set {} mtu {}, as on its backends and on the switch", interface.name, needed(port)),
        ),
        _ if !native && !fragments && interface.abilities.is_ok() && own > LONGEST_IN_A_PAGE => sheet.warning(
            "mtu",
            "mtu-too-large",
            format!("{own}: a driver without fragments for XDP (rx-sg) takes no native program above about {LONGEST_IN_A_PAGE}"),
            format!("ip link set {} mtu {LONGEST_IN_A_PAGE}, or live with generic mode", interface.name),
        ),
        _ => sheet.good("mtu", own.to_string()),
    }
}

/// Answers of backends come from the VIP.
fn rp_filter(interface: &Interface, facts: &Facts, sheet: &mut Sheet) {
    if !interface.is_strict {
        return sheet.good("rp_filter", "not strict");
    }
    let remedy = format!(
        "sysctl -w net/ipv4/conf/all/rp_filter=0 net/ipv4/conf/{}/rp_filter=0, or checks with probe = \"address\"",
        interface.name
    );
    let elsewhere =
        |vip: &&super::super::facts::Vip| vip.address.is_ipv4() && vip.route != Some(interface.ifindex);
    let lost = facts.vips.iter().find(|vip| elsewhere(vip) && vip.is_probed);
    match (lost, facts.vips.iter().find(elsewhere)) {
        (Some(vip), _) if interface.part != Part::Candidate => sheet.breaks(
            "rp_filter",
            "strict-rp-filter",
            format!(
                "it is 1, and the route to the VIP {} does not lead out here: the kernel drops what backends answer to \
                 probes",
                vip.address
            ),
            remedy,
        ),
        (Some(vip), _) | (None, Some(vip)) => sheet.warning(
            "rp_filter",
            "strict-rp-filter",
            format!("it is 1, and the route to the VIP {} does not lead out here: probes to it would fail", vip.address),
            remedy,
        ),
        (None, None) if facts.vips.is_empty() => sheet.advise(
            "rp_filter",
            "strict-rp-filter",
            "it is 1: answers to probes are dropped where the route to the VIP leads elsewhere",
            remedy,
        ),
        (None, None) => sheet.good("rp_filter", "strict, and the routes to the VIPs lead out here"),
    }
}

/// What probes to VIPs need on their way out, and for their answers.
fn probes(interface: &Interface, facts: &Facts, sheet: &mut Sheet) {
    let is_probed = facts.vips.iter().any(|vip| vip.is_probed);
    if interface.part == Part::Candidate || !facts.director.works() || !is_probed || !interface.up {
        return;
    }
    let remedy = "a running controller makes it anew within seconds; see its log";
    match &interface.missing_lane {
        Err(why) => sheet.unknown("probes", why),
        Ok(missing) if !missing.is_empty() => sheet.breaks(
            "probes",
            "no-lane",
            format!("probes to VIPs can't leave here: missing is {}", missing.join(", ")),
            remedy,
        ),
        Ok(_) if !interface.accepts_local && local_vip(facts) => sheet.breaks(
            "probes",
            "no-accept-local",
            "a VIP is local, and accept_local is 0: answers to probes pass for forged",
            format!("sysctl -w net/ipv4/conf/{}/accept_local=1", interface.name),
        ),
        Ok(_) => sheet.good("probes", "they have a way out"),
    }
}

fn local_vip(facts: &Facts) -> bool {
    facts.vips.iter().any(|vip| vip.address.is_ipv4() && vip.is_probed && !vip.local.is_empty())
}
