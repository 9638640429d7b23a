//! The BPF programs as this build compiled them: bytes, aligned for the loader.

/// The program `director` and its maps.
pub static DIRECTOR: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vip-director"));

/// The program `tracer`, which is the director with a word about each packet, and its maps.
pub static TRACER: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vip-tracer"));

/// The programs that measure, and `pass`, which leaves every packet to the kernel.
pub static MEASURE: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vip-measure"));

/// Name of the director's XDP program, and of its pin.
pub const PROGRAM: &str = "director";

/// Name of the director's XDP program while it is traced.
pub const TRACER_PROGRAM: &str = "tracer";

/// Name of the program that sweeps the flow table.
pub const SWEEPER: &str = "sweeper";

/// Name of the classifier that leads probes.
pub const PROBE: &str = "probe";
