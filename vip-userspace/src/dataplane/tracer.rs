//! The director that traces: the same decision over the very tables that are pinned, which also tells what packets got. It
//! is loaded only while somebody traces. Which interfaces run it is told to nobody here.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, PerCpuArray, RingBuf},
    programs::Xdp,
};
use bytemuck::bytes_of;
use tokio::io::{Interest, unix::AsyncFd};
use vip_common::trace::{TraceCount, TracedPacket, WantedPackets, names};

use super::{
    error::DataplaneError,
    maps::{failed, typed},
    object::{TRACER, TRACER_PROGRAM},
    pins::Pins,
    shapes::Shape,
};

type Result<T> = std::result::Result<T, DataplaneError>;

/// Packets that are handed over at once, at most: who reads them has other things to do as well.
const AT_ONCE: usize = 128;

/// The program and what it counts. The tables are those of the director.
pub(super) struct Tracer {
    ebpf: Ebpf,
    counts: PerCpuArray<MapData, [u8; size_of::<TraceCount>()]>,
}

/// Packets as they are told.
pub struct TracedPackets(AsyncFd<RingBuf<MapData>>);

/// What was counted, on all CPUs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TraceCounts {
    /// Packets that were wanted.
    pub seen: u64,
    /// Such as were left out, since more came than may be told in a second.
    pub limited: u64,
    /// Such as were told and not read in time.
    pub lost: u64,
}

impl Tracer {
    /// Loads the program over what is pinned. Belongs into a tokio runtime with I/O.
    ///
    /// # Errors
    /// A table is not there, or the kernel refuses something.
    pub(super) fn load(
        pins: &Pins,
        shapes: &[Shape],
        wanted: &WantedPackets,
    ) -> Result<(Self, TracedPackets)> {
        let mut loader = EbpfLoader::new();
        for shape in shapes {
            let path = pins.table(shape.name);
            if !path.exists() {
                return Err(DataplaneError::MissingPin(path));
            }
            loader.map_max_entries(shape.name, shape.entries);
            loader.map_pin_path(shape.name, path);
        }
        let mut ebpf = loader.load(TRACER).map_err(DataplaneError::aya("open the tables in the kernel"))?;
        program_mut(&mut ebpf)?
            .load()
            .map_err(DataplaneError::aya(format!("load the program {TRACER_PROGRAM}")))?;
        let mut filter: Array<MapData, [u8; size_of::<WantedPackets>()]> =
            typed(names::TRACE_WANTED, take(&mut ebpf, names::TRACE_WANTED)?)?;
        let value: [u8; size_of::<WantedPackets>()] = bytemuck::pod_read_unaligned(bytes_of(wanted));
        filter.set(0, value, 0).map_err(failed("write", names::TRACE_WANTED))?;
        let counts = typed(names::TRACE_COUNTS, take(&mut ebpf, names::TRACE_COUNTS)?)?;
        let ring: RingBuf<MapData> = typed(names::TRACES, take(&mut ebpf, names::TRACES)?)?;
        #[expect(
            deprecated,
            reason = "the descriptor is the table's own: it stays open as long as it is waited for"
        )]
        let ring = AsyncFd::with_interest(ring, Interest::READABLE)
            .map_err(DataplaneError::io("wait for traced packets"))?;
        Ok((Self { ebpf, counts }, TracedPackets(ring)))
    }

    pub(super) fn program_fd(&self) -> Result<BorrowedFd<'_>> {
        let program: &Xdp = self
            .ebpf
            .program(TRACER_PROGRAM)
            .ok_or_else(no_program)?
            .try_into()
            .map_err(DataplaneError::aya(TRACER_PROGRAM))?;
        let fd = program.fd().map_err(DataplaneError::aya(TRACER_PROGRAM))?;
        Ok(fd.as_fd())
    }

    pub(super) fn counts(&self) -> Result<TraceCounts> {
        let values = self.counts.get(&0, 0).map_err(failed("read", names::TRACE_COUNTS))?;
        let count = |sum: TraceCounts, value: &[u8; size_of::<TraceCount>()]| {
            let count: TraceCount = bytemuck::pod_read_unaligned(value);
            TraceCounts {
                seen: sum.seen + count.seen,
                limited: sum.limited + count.limited,
                lost: sum.lost + count.lost,
            }
        };
        Ok(values.iter().fold(TraceCounts::default(), count))
    }
}

impl TracedPackets {
    /// Waits for packets. Those that are there are handed over, up to a number of them.
    ///
    /// # Errors
    /// They can't be waited for.
    pub async fn next(&mut self) -> io::Result<Vec<TracedPacket>> {
        loop {
            let mut ready = self.0.readable_mut().await?;
            let packets = read(ready.get_inner_mut());
            if packets.len() < AT_ONCE {
                ready.clear_ready();
            }
            if !packets.is_empty() {
                return Ok(packets);
            }
        }
    }

    /// Packets that are there now, up to a number of them.
    pub fn now(&mut self) -> Vec<TracedPacket> {
        read(self.0.get_mut())
    }
}

fn read(ring: &mut RingBuf<MapData>) -> Vec<TracedPacket> {
    let mut packets = Vec::new();
    while packets.len() < AT_ONCE
        && let Some(item) = ring.next()
    {
        packets.extend(bytemuck::try_pod_read_unaligned::<TracedPacket>(&item));
    }
    packets
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<Map> {
    ebpf.take_map(name).ok_or_else(|| DataplaneError::Broken(format!("the program has no table {name}")))
}

fn program_mut(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    let program = ebpf.program_mut(TRACER_PROGRAM).ok_or_else(no_program)?;
    program.try_into().map_err(DataplaneError::aya(TRACER_PROGRAM))
}

fn no_program() -> DataplaneError {
    DataplaneError::Broken(format!("the object has no program {TRACER_PROGRAM}"))
}
