//! What queues and CPUs have done so far.

use std::{collections::BTreeMap, fs};

use super::super::{
    facts::{Interface, Told},
    load::{Received, Sample, cpus, interrupts, queues as by_name},
};
use crate::net::{counters, netdev::queue_packets};

/// Reads the counters of interfaces and CPUs.
///
/// # Errors
/// The kernel does not tell what its CPUs do.
pub(crate) async fn sample(interfaces: &[Interface]) -> Told<Sample> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("read {path}: {error}"));
    let cpus = cpus(&read("/proc/stat")?, &read("/proc/net/softnet_stat")?);
    let mut received = BTreeMap::new();
    for interface in interfaces {
        received.insert(interface.name.clone(), of_interface(interface).await);
    }
    Ok(Sample { interfaces: received, cpus })
}

async fn of_interface(interface: &Interface) -> Received {
    let mut queues = queue_packets(interface.ifindex).await.unwrap_or_default();
    if queues.is_empty() {
        queues = by_name(&counters::statistics(&interface.name).unwrap_or_default());
    }
    let by_interrupts = queues.is_empty();
    if by_interrupts {
        let bus = counters::driver(&interface.name).map(|driver| driver.bus).unwrap_or_default();
        queues =
            interrupts(&fs::read_to_string("/proc/interrupts").unwrap_or_default(), &interface.name, &bus);
    }
    Received { queues, by_interrupts, missed: counters::missed(interface.ifindex).await.unwrap_or_default() }
}
