//! The dataplane on a real kernel: tables and programs as they are pinned, taken over, attached and removed. Every test
//! that pins or attaches has a BPF file system and a network of its own, in namespaces that end with its thread.

mod attach;
mod explain;
mod harness;
mod pins;
mod program;
mod tables;
mod trace;
