//! The director in the kernel: its program, loaded, and its tables. It knows no interface; where tables are pinned is
//! told to it.

use std::{
    os::fd::{AsFd as _, BorrowedFd},
    path::PathBuf,
};

use aya::{
    Ebpf, EbpfLoader, TestRun as _,
    programs::{RawTracePoint, RawTracePointRunOptions, SchedClassifier, Xdp},
    util::online_cpus,
};
use vip_common::{Reason, tables::InsertCount};

use super::{
    Capacity, Counts, Dataplane, Swept,
    error::DataplaneError,
    interface,
    maps::Maps,
    object::{DIRECTOR, PROBE, PROGRAM, SWEEPER},
    packet_log::PacketLog,
    shapes::{Shape, port_entries, shapes},
};
use crate::plan::{Operation, Tables};

/// The global that says up to which level packets are logged.
const LOG_LEVEL: &str = "AYA_LOG_LEVEL";

/// The program and its tables. Unless pinned, all of it is gone when this is dropped.
pub struct Director {
    ebpf: Ebpf,
    pub(super) maps: Maps,
}

impl Director {
    /// Loads the program with empty tables that nobody else sees: for tests and measurements.
    ///
    /// # Errors
    /// The kernel refuses a table or the program.
    pub fn load(capacity: Capacity, log_packets: bool) -> Result<Self, DataplaneError> {
        let largest = interface::largest_index().map_err(DataplaneError::io("list the interfaces"))?;
        Self::load_with(&shapes(capacity, port_entries(largest)), log_packets, |_| None)
    }

    /// Loads the program. A table for which there is a `pin` is opened there, or made and pinned.
    pub(super) fn load_with(
        shapes: &[Shape],
        log_packets: bool,
        pin: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<Self, DataplaneError> {
        let level = if log_packets { aya_log::Level::Debug as u8 } else { 0 };
        let mut loader = EbpfLoader::new();
        loader.override_global(LOG_LEVEL, &level, true);
        for shape in shapes {
            loader.map_max_entries(shape.name, shape.entries);
            if let Some(path) = pin(shape.name) {
                loader.map_pin_path(shape.name, path);
            }
        }
        let mut ebpf = loader.load(DIRECTOR).map_err(DataplaneError::aya("make the tables in the kernel"))?;
        program(&mut ebpf)?.load().map_err(DataplaneError::aya(format!("load the program {PROGRAM}")))?;
        sweeper(&mut ebpf)?.load().map_err(DataplaneError::aya(format!("load the program {SWEEPER}")))?;
        classifier(&mut ebpf)?.load().map_err(DataplaneError::aya(format!("load the program {PROBE}")))?;
        // Only now: the program needs the tables' descriptors until it is loaded, and a mapped table closes its own.
        let maps = Maps::new(|name| {
            ebpf.take_map(name)
                .ok_or_else(|| DataplaneError::Broken(format!("the program has no table {name}")))
        })?;
        Ok(Self { ebpf, maps })
    }

    /// The program, for instance to test it on packets.
    ///
    /// # Errors
    /// Never, with the object of this build.
    pub fn program(&self) -> Result<&Xdp, DataplaneError> {
        let program = self.ebpf.program(PROGRAM).ok_or_else(|| no_program(PROGRAM))?;
        program.try_into().map_err(DataplaneError::aya(PROGRAM))
    }

    /// The program that looks through the flow tables.
    ///
    /// # Errors
    /// Never, with the object of this build.
    pub fn sweeper(&self) -> Result<&RawTracePoint, DataplaneError> {
        let program = self.ebpf.program(SWEEPER).ok_or_else(|| no_program(SWEEPER))?;
        program.try_into().map_err(DataplaneError::aya(SWEEPER))
    }

    pub(super) fn program_mut(&mut self) -> Result<&mut Xdp, DataplaneError> {
        program(&mut self.ebpf)
    }

    pub(super) fn program_fd(&self) -> Result<BorrowedFd<'_>, DataplaneError> {
        let fd = self.program()?.fd().map_err(DataplaneError::aya(PROGRAM))?;
        Ok(fd.as_fd())
    }

    /// The classifier that leads probes.
    pub(super) fn classifier_mut(&mut self) -> Result<&mut SchedClassifier, DataplaneError> {
        classifier(&mut self.ebpf)
    }

    /// What the program logs of packets, if it was loaded so: once.
    ///
    /// # Errors
    /// It was taken before.
    pub fn packet_log(
        &mut self,
        line: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<PacketLog, DataplaneError> {
        PacketLog::new(&mut self.ebpf, line)
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp, DataplaneError> {
    let program = ebpf.program_mut(PROGRAM).ok_or_else(|| no_program(PROGRAM))?;
    program.try_into().map_err(DataplaneError::aya(PROGRAM))
}

fn sweeper(ebpf: &mut Ebpf) -> Result<&mut RawTracePoint, DataplaneError> {
    let program = ebpf.program_mut(SWEEPER).ok_or_else(|| no_program(SWEEPER))?;
    program.try_into().map_err(DataplaneError::aya(SWEEPER))
}

fn classifier(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier, DataplaneError> {
    let program = ebpf.program_mut(PROBE).ok_or_else(|| no_program(PROBE))?;
    program.try_into().map_err(DataplaneError::aya(PROBE))
}

fn no_program(name: &str) -> DataplaneError {
    DataplaneError::Broken(format!("the object has no program {name}"))
}

impl Dataplane for Director {
    fn read(&self) -> anyhow::Result<Tables> {
        Ok(self.maps.read()?)
    }

    fn apply(&mut self, operations: &[Operation]) -> anyhow::Result<()> {
        for operation in operations {
            self.maps.apply(operation)?;
        }
        Ok(())
    }

    fn strays(&self, published: &Tables, part: usize, parts: usize) -> anyhow::Result<Vec<Operation>> {
        Ok(self.maps.strays(published, part, parts)?)
    }

    fn counts(&self) -> anyhow::Result<Counts> {
        Ok(self.maps.counts()?)
    }

    fn bounced(&self) -> anyhow::Result<u64> {
        Ok(self.maps.reason_count(Reason::Bounced)?)
    }

    fn sweep(&mut self) -> anyhow::Result<Swept> {
        self.maps.prepare_sweep()?;
        let program = sweeper(&mut self.ebpf)?;
        program
            .test_run(RawTracePointRunOptions::default())
            .map_err(DataplaneError::aya("sweep the flow table"))?;
        Ok(self.maps.swept()?)
    }

    fn inserts(&self, service: u32) -> anyhow::Result<InsertCount> {
        Ok(self.maps.inserts(service)?)
    }

    fn capacity(&self) -> Capacity {
        self.maps.capacity()
    }

    fn cpus(&self) -> u32 {
        online_cpus().ok().and_then(|cpus| u32::try_from(cpus.len()).ok()).unwrap_or(1)
    }
}
