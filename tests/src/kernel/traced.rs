//! The program that traces, in the kernel: what it tells of each packet, and whatever the director does.

use anyhow::{Context as _, Result};
use aya::maps::{Array, RingBuf};
use bytemuck::{Zeroable as _, bytes_of, pod_read_unaligned};
use vip_common::trace::{TracedPacket, WantedPackets, names};
use vip_userspace::{dataplane::object, plan::Tables};

use super::{Kernel, map_mut};

/// Bytes that say what is wanted.
const LEN: usize = size_of::<WantedPackets>();

/// The program, which tells of every packet.
pub struct Traced {
    /// The program with its tables.
    pub kernel: Kernel,
}

impl Traced {
    /// Loads the program and publishes `tables`.
    ///
    /// # Errors
    /// As [`Kernel::load`].
    pub fn load(tables: &Tables) -> Result<Self> {
        let mut kernel = Kernel::load_object((object::TRACER, object::TRACER_PROGRAM), tables)?;
        let all = WantedPackets { until: u64::MAX, every: 1, allowance: u32::MAX, ..WantedPackets::zeroed() };
        let mut wanted: Array<_, [u8; LEN]> = map_mut(&mut kernel.ebpf, names::TRACE_WANTED)?.try_into()?;
        let value: [u8; LEN] = pod_read_unaligned(bytes_of(&all));
        wanted.set(0, value, 0).context("say what is wanted")?;
        Ok(Self { kernel })
    }

    /// What was told since the last look.
    ///
    /// # Errors
    /// It can't be read.
    pub fn told(&mut self) -> Result<Vec<TracedPacket>> {
        let mut ring = RingBuf::try_from(map_mut(&mut self.kernel.ebpf, names::TRACES)?)?;
        let mut told = Vec::new();
        while let Some(item) = ring.next() {
            told.push(pod_read_unaligned(&item));
        }
        Ok(told)
    }
}
