//! Facts about the box.

use std::{fs, thread::available_parallelism};

use super::super::facts::Machine;
use crate::{dataplane::preflight, places::Places};

pub(crate) fn machine(places: &Places) -> Machine {
    let release = preflight::release();
    let compiles = fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").ok();
    // Of this process, but a doctor is seldom confined to some CPUs.
    let cpus = available_parallelism().map_or(1, std::num::NonZero::get);
    Machine {
        supported: preflight::is_supported(&release),
        release,
        permitted: preflight::is_permitted().unwrap_or(false),
        bpffs: places.bpffs.display().to_string(),
        has_bpffs: preflight::has_bpffs(&places.bpffs),
        compiles: compiles.map(|text| text.trim() != "0"),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
    }
}
