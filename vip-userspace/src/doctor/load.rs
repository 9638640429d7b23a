//! What RX queues and CPUs had to do between two samples. Pure: the kernel's texts and counters are arguments.

use std::collections::BTreeMap;

use serde::Serialize;

/// What was counted by one moment, since the machine's start.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Sample {
    /// By interface.
    pub interfaces: BTreeMap<String, Received>,
    /// By CPU.
    pub cpus: BTreeMap<u32, Cpu>,
}

/// What an interface has received.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Received {
    /// By RX queue.
    pub queues: BTreeMap<u32, u64>,
    /// They are interrupts, not packets: the driver counts no packets by queue.
    pub by_interrupts: bool,
    /// Frames that found no room.
    pub missed: u64,
}

/// What a CPU has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cpu {
    /// Ticks in all.
    pub all: u64,
    /// Ticks in which it did nothing.
    pub idle: u64,
    /// Ticks in software interrupts: receiving is one of them.
    pub softirq: u64,
    /// Packets dropped since its backlog was full.
    pub dropped: u64,
    /// Times that receiving was cut short for lack of time.
    pub squeezed: u64,
}

/// What was done between two samples.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Load {
    /// Seconds between them.
    pub seconds: f64,
    /// By interface.
    pub interfaces: Vec<InterfaceLoad>,
    /// By CPU.
    pub cpus: Vec<CpuLoad>,
}

/// What an interface received.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InterfaceLoad {
    /// Its name.
    pub name: String,
    /// Each RX queue.
    pub queues: Vec<QueueLoad>,
    /// They are interrupts, not packets.
    pub by_interrupts: bool,
    /// Frames that found no room.
    pub missed: u64,
}

/// What an RX queue received.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct QueueLoad {
    /// Its number.
    pub queue: u32,
    /// Packets, or interrupts.
    pub packets: u64,
}

/// What a CPU did.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct CpuLoad {
    /// Its number.
    pub cpu: u32,
    /// Part of its time in which it did anything, 0 to 1.
    pub busy: f64,
    /// Part of its time in software interrupts, 0 to 1.
    pub softirq: f64,
    /// Packets dropped since its backlog was full.
    pub dropped: u64,
    /// Times that receiving was cut short for lack of time.
    pub squeezed: u64,
}

/// What was done between two samples. Queues and CPUs that are only in one of them are left out.
#[must_use]
pub fn between(before: &Sample, after: &Sample, seconds: f64) -> Load {
    let pairs =
        after.interfaces.iter().filter_map(|(name, now)| Some((name, before.interfaces.get(name)?, now)));
    let interfaces = pairs.map(|(name, then, now)| InterfaceLoad {
        name: name.clone(),
        queues: (now.queues.iter())
            .filter_map(|(queue, count)| {
                let packets = count.saturating_sub(*then.queues.get(queue)?);
                Some(QueueLoad { queue: *queue, packets })
            })
            .collect(),
        by_interrupts: now.by_interrupts,
        missed: now.missed.saturating_sub(then.missed),
    });
    let cpus = after.cpus.iter().filter_map(|(cpu, now)| Some(busy(*cpu, before.cpus.get(cpu)?, now)));
    Load { seconds, interfaces: interfaces.collect(), cpus: cpus.collect() }
}

fn busy(cpu: u32, then: &Cpu, now: &Cpu) -> CpuLoad {
    let all = now.all.saturating_sub(then.all);
    let part = |ticks: u64| if all == 0 { 0.0 } else { (ticks.min(all) as f64) / all as f64 };
    let idle = now.idle.saturating_sub(then.idle);
    CpuLoad {
        cpu,
        busy: part(all.saturating_sub(idle)),
        softirq: part(now.softirq.saturating_sub(then.softirq)),
        dropped: now.dropped.saturating_sub(then.dropped),
        squeezed: now.squeezed.saturating_sub(then.squeezed),
    }
}

/// Reads `/proc/stat` and `/proc/net/softnet_stat` (proc(5); net/core/net-procfs.c, `softnet_seq_show`: processed, dropped,
/// squeezed …, and since Linux 5.10 the CPU in the thirteenth column, all in hexadecimal).
#[must_use]
pub fn cpus(stat: &str, softnet: &str) -> BTreeMap<u32, Cpu> {
    let mut cpus: BTreeMap<u32, Cpu> = stat.lines().filter_map(ticks).collect();
    for (row, line) in (0..).zip(softnet.lines()) {
        let columns: Vec<_> =
            line.split_whitespace().map(|text| u64::from_str_radix(text, 16).unwrap_or(0)).collect();
        let number = columns.get(12).and_then(|cpu| u32::try_from(*cpu).ok()).unwrap_or(row);
        if let Some(cpu) = cpus.get_mut(&number) {
            cpu.dropped = columns.get(1).copied().unwrap_or_default();
            cpu.squeezed = columns.get(2).copied().unwrap_or_default();
        }
    }
    cpus
}

/// A line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; guests are among the users.
fn ticks(line: &str) -> Option<(u32, Cpu)> {
    let mut columns = line.split_whitespace();
    let number = columns.next()?.strip_prefix("cpu")?.parse().ok()?;
    let ticks: Vec<u64> = columns.take(8).map(|text| text.parse().unwrap_or_default()).collect();
    let of = |at: usize| ticks.get(at).copied().unwrap_or_default();
    Some((number, Cpu { all: ticks.iter().sum(), idle: of(3) + of(4), softirq: of(6), ..Cpu::default() }))
}

/// How drivers call the packets of an RX queue: what stands before and behind its number. The first one that a driver has
/// counts: some count packets that programs saw once more.
const QUEUE_NAMES: [(&str, &str); 8] = [
    ("rx_queue_", "_packets"),
    ("rx-", ".packets"),
    ("rx", "_packets"),
    ("queue_", "_rx_cnt"),
    ("[", "]: rx_ucast_packets"),
    ("rx_packets[", "]"),
    ("rx_queue_", "_xdp_packets"),
    ("rx", "_xdp_packets"),
];

/// The packets of each RX queue among a driver's statistics (`ethtool -S`); empty where it counts none.
#[must_use]
pub fn queues(statistics: &[(String, u64)]) -> BTreeMap<u32, u64> {
    let of = |(before, behind): (&str, &str)| -> BTreeMap<u32, u64> {
        let number = |name: &str| name.strip_prefix(before)?.strip_suffix(behind)?.parse().ok();
        statistics.iter().filter_map(|(name, count)| Some((number(name)?, *count))).collect()
    };
    QUEUE_NAMES.into_iter().map(of).find(|queues| !queues.is_empty()).unwrap_or_default()
}

/// Words in the name of an interrupt that is not about receiving.
const NOT_RECEIVING: [&str; 7] = ["output", "-tx-", "config", "control", "async", "mgmnt", "misc"];

/// The interrupts of each RX queue in `/proc/interrupts`, in their order: lines that name the interface or its place on the bus.
#[must_use]
pub fn interrupts(text: &str, interface: &str, bus: &str) -> BTreeMap<u32, u64> {
    let mut lines = text.lines();
    let cpus = lines.next().unwrap_or_default().split_whitespace().count();
    let counts = lines.filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let mut columns = rest.split_whitespace();
        let count = columns.by_ref().take(cpus).map(|text| text.parse::<u64>().unwrap_or_default()).sum();
        let name = columns.last()?;
        let words = |text: &str| name == text || name.split(['-', '@', ':', ',']).any(|word| word == text);
        let named =
            words(interface) || (!bus.is_empty() && (words(bus) || name.ends_with(&format!("pci:{bus}"))));
        let receives = !NOT_RECEIVING.iter().any(|word| name.to_lowercase().contains(word));
        (named && receives).then_some(count)
    });
    (0..).zip(counts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A driver, its statistics, and the packets of queues among them.
    type Row = (&'static str, &'static [(&'static str, u64)], &'static [(u32, u64)]);

    #[test]
    fn a_queues_packets_are_found_whatever_the_driver_calls_them() {
        let rows: [Row; 9] = [
            (
                "ixgbe",
                &[
                    ("rx_packets", 9),
                    ("rx_queue_0_packets", 4),
                    ("rx_queue_1_packets", 5),
                    ("rx_queue_0_bytes", 7),
                ],
                &[(0, 4), (1, 5)],
            ),
            ("i40e", &[("rx-0.packets", 4), ("tx-0.packets", 5), ("rx-12.packets", 6)], &[(0, 4), (12, 6)]),
            ("mlx5", &[("rx0_packets", 4), ("rx0_xdp_drop", 5), ("rx_packets", 6)], &[(0, 4)]),
            ("virtio", &[("rx0_xdp_packets", 3), ("rx0_packets", 4)], &[(0, 4)]),
            (
                "veth",
                &[("peer_ifindex", 3), ("rx_queue_0_xdp_packets", 4), ("tx_queue_0_xdp_xmit", 5)],
                &[(0, 4)],
            ),
            ("virtio since 6.10", &[("rx0_xdp_packets", 3), ("rx_xdp_packets", 4)], &[(0, 3)]),
            ("ena", &[("queue_3_rx_cnt", 4), ("queue_3_tx_cnt", 5)], &[(3, 4)]),
            ("gve", &[("rx_packets[0]", 4), ("rx_bytes[0]", 5)], &[(0, 4)]),
            ("none", &[("rx_packets", 4), ("rx_no_buffer", 5)], &[]),
        ];
        for (driver, statistics, expected) in rows {
            let statistics: Vec<_> =
                statistics.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
            assert_eq!(queues(&statistics), expected.iter().copied().collect(), "{driver}");
        }
    }

    #[test]
    fn interrupts_are_told_by_interface_or_bus() {
        let text = "           CPU0       CPU1
 24:          1          2  PCI-MSI-0000:03:00.0   0-edge      eth0-TxRx-0
 25:          3          4  PCI-MSI-0000:03:00.0   1-edge      eth0-TxRx-1
 26:          5          6  PCI-MSI-0000:03:00.0   2-edge      eth01-TxRx-0
 27:          7          8  PCI-MSI-0000:04:00.0   0-edge      mlx5_comp0@pci:0000:3b:00.0
 28:          9          9  PCI-MSI-0000:04:00.0   0-edge      mlx5_async0@pci:0000:3b:00.0
 29:         10         11  PCI-MSI-0000:04:00.0   0-edge      virtio0-input.0
 30:         12         13  PCI-MSI-0000:04:00.0   0-edge      virtio0-output.0
LOC:      12345      23456   Local timer interrupts
";
        assert_eq!(interrupts(text, "eth0", ""), [(0, 3), (1, 7)].into());
        assert_eq!(interrupts(text, "ens1", "0000:3b:00.0"), [(0, 15)].into());
        assert_eq!(interrupts(text, "eth1", "virtio0"), [(0, 21)].into());
        assert!(interrupts(text, "eth2", "").is_empty() && interrupts("", "eth0", "").is_empty());
    }

    #[test]
    fn a_cpus_time_and_losses_are_read() {
        let stat = "cpu  30 0 30 200 0 0 40 0 0 0\ncpu0 10 0 10 50 10 0 20 0 0 0\ncpu2 20 0 20 150 0 0 20 0 0 0\nintr 1 2\n";
        let softnet = "0000000e 00000002 00000003 0 0 0 0 0 0 0 0 0 00000000 0 0\n000034d5 00000000 0000000a 0 0 0 0 0 0 0 0 0 00000002 0 0\n";
        let cpus = cpus(stat, softnet);
        assert_eq!(cpus[&0], Cpu { all: 100, idle: 60, softirq: 20, dropped: 2, squeezed: 3 });
        assert_eq!(cpus[&2], Cpu { all: 210, idle: 150, softirq: 20, dropped: 0, squeezed: 10 });
        assert_eq!(cpus.len(), 2);
    }

    #[test]
    fn load_is_what_has_changed() {
        let sample = |packets, all, idle, softirq, missed| Sample {
            interfaces: [(
                "eth0".to_owned(),
                Received { queues: [(0, packets), (1, 2 * packets)].into(), by_interrupts: false, missed },
            )]
            .into(),
            cpus: [(0, Cpu { all, idle, softirq, dropped: 0, squeezed: missed })].into(),
        };
        let load = between(&sample(10, 100, 50, 10, 1), &sample(110, 200, 75, 60, 4), 1.0);
        let queues: Vec<_> =
            load.interfaces[0].queues.iter().map(|queue| (queue.queue, queue.packets)).collect();
        assert_eq!(queues, [(0, 100), (1, 200)]);
        assert_eq!((load.interfaces[0].missed, load.cpus[0].squeezed), (3, 3));
        assert_eq!((load.cpus[0].busy, load.cpus[0].softirq), (0.75, 0.5));
        let stood_still = between(&sample(10, 100, 50, 10, 1), &sample(5, 100, 50, 10, 0), 1.0);
        assert_eq!((stood_still.cpus[0].busy, stood_still.interfaces[0].missed), (0.0, 0));
        assert!(between(&Sample::default(), &sample(1, 1, 1, 1, 1), 1.0).interfaces.is_empty(), "new ones");
    }
}
