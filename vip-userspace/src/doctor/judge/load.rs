//! Findings about the load of RX queues and CPUs. What is little says nothing: it is told, and not judged.

use super::super::{
    facts::{Facts, Interface},
    finding::{Finding, Sheet},
    load::{CpuLoad, InterfaceLoad, Load},
};

/// Packets a second from which on a queue's share says anything.
const ENOUGH: f64 = 1000.0;
/// A share of all packets that one queue should not have.
const NEARLY_ALL: f64 = 0.8;
/// A part of a CPU's time from which on it may fall behind.
const NEARLY_FULL: f64 = 0.9;
/// How many queues or CPUs are told one by one.
const TOLD: usize = 8;

pub(super) fn of_interface(interface: &Interface, facts: &Facts) -> Vec<Finding> {
    let mut sheet = Sheet::about(&interface.name);
    match &facts.load {
        None => {}
        Some(Err(why)) => sheet.unknown("load", why),
        Some(Ok(load)) => match load.interfaces.iter().find(|one| one.name == interface.name) {
            Some(one) => judge(one, load, &mut sheet),
            None => sheet.unknown("load", "it counted nothing"),
        },
    }
    sheet.finish()
}

fn judge(one: &InterfaceLoad, load: &Load, sheet: &mut Sheet) {
    let name = &one.name;
    queues(one, load, sheet);
    if one.missed > 0 {
        sheet.warning(
            "missed frames",
            "missed",
            format!("{} frames in {} found no room", one.missed, seconds(load)),
            format!(
                "make its rings larger (ethtool -G {name} rx …), or spread packets over more queues and CPUs"
            ),
        );
    } else {
        sheet.good("missed frames", "none");
    }
}

fn queues(one: &InterfaceLoad, load: &Load, sheet: &mut Sheet) {
    let total: u64 = one.queues.iter().map(|queue| queue.packets).sum();
    let rate = total as f64 / load.seconds.max(f64::MIN_POSITIVE);
    let what = if one.by_interrupts { "interrupts" } else { "packets" };
    if one.queues.is_empty() {
        return sheet.note(
            "queue load",
            "untold",
            "the driver counts neither packets nor interrupts by RX queue",
        );
    }
    let share = |packets: u64| if total == 0 { 0.0 } else { packets as f64 / total as f64 };
    let mut busiest = one.queues.clone();
    busiest.sort_by_key(|queue| (std::cmp::Reverse(queue.packets), queue.queue));
    let shares: Vec<_> = busiest
        .iter()
        .take(TOLD)
        .map(|queue| format!("rx-{} {:.0} %", queue.queue, 100.0 * share(queue.packets)))
        .collect();
    let more = if busiest.len() > TOLD { format!(", {} more", busiest.len() - TOLD) } else { String::new() };
    let words = match total {
        0 => format!("no {what} in {}", seconds(load)),
        _ => format!("{rate:.0} {what} a second: {}{more}", shares.join(", ")),
    };
    let skewed = one.queues.len() > 1 && rate >= ENOUGH && share(busiest[0].packets) >= NEARLY_ALL;
    if skewed {
        let name = &one.name;
        sheet.warning(
            "queue load",
            "queue-skew",
            format!("{words}: one queue takes nearly all"),
            format!(
                "have the NIC spread flows by address and port: ethtool -x {name}; ethtool -N {name} rx-flow-hash tcp4 sdfn \
                 (udp4, tcp6, udp6). One flow is always in one queue"
            ),
        );
    } else {
        sheet.good("queue load", words);
    }
}

pub(super) fn of_cpus(facts: &Facts) -> Vec<Finding> {
    let mut sheet = Sheet::about("cpus");
    let Some(Ok(load)) = &facts.load else { return sheet.finish() };
    let mut busiest = load.cpus.clone();
    busiest.sort_by(|one, other| other.softirq.total_cmp(&one.softirq).then(one.cpu.cmp(&other.cpu)));
    let shares: Vec<_> = busiest.iter().take(TOLD).map(words).collect();
    let more = if busiest.len() > TOLD { format!(", {} more", busiest.len() - TOLD) } else { String::new() };
    let words = format!("{}{more} (receiving/in all)", shares.join(", "));
    match busiest.first() {
        None => sheet.unknown("load", "the kernel counts nothing"),
        Some(first) if first.softirq >= NEARLY_FULL => sheet.warning(
            "load",
            "cpu-full",
            format!("{words}: CPU {} does nothing but receive", first.cpu),
            "spread packets over more queues and CPUs, and keep other work off those that receive",
        ),
        Some(_) => sheet.good("load", words),
    }
    let sum = |of: fn(&CpuLoad) -> u64| load.cpus.iter().map(of).sum::<u64>();
    match (sum(|cpu| cpu.dropped), sum(|cpu| cpu.squeezed)) {
        (0, 0) => sheet.good("backlog", "nothing was dropped or cut short"),
        (0, squeezed) => sheet.advise(
            "backlog",
            "squeezed",
            format!("receiving was cut short {squeezed} times in {}", seconds(load)),
            "sysctl -w net.core.netdev_budget=600 net.core.netdev_budget_usecs=8000",
        ),
        (dropped, _) => sheet.warning(
            "backlog",
            "backlog-full",
            format!("{dropped} packets in {} found the kernel's backlog full", seconds(load)),
            "sysctl -w net.core.netdev_max_backlog=10000; attach natively, which needs no backlog",
        ),
    }
    sheet.finish()
}

fn words(cpu: &CpuLoad) -> String {
    format!("CPU {} {:.0}/{:.0} %", cpu.cpu, 100.0 * cpu.softirq, 100.0 * cpu.busy)
}

fn seconds(load: &Load) -> String {
    format!("{:.1} s", load.seconds)
}
