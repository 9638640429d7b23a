//! What a process has taken of the machine, by what the kernel says of it.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

/// Ticks of a second in `/proc/PID/stat`, for whoever looks at it from outside of the kernel.
const TICKS: u64 = 100;

/// CPU time so far, in user mode and in the kernel.
pub(super) fn cpu_time(process: u32) -> Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    parse_stat(&text).with_context(|| format!("read {path}"))
}

/// `utime` and `stime` (proc(5)): fields 14 and 15, counted from behind the name, which may hold anything.
fn parse_stat(text: &str) -> Option<Duration> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Some(Duration::from_millis((user + system) * 1000 / TICKS))
}

/// Memory that a process has, in bytes: its own, and that of BPF maps which it has mapped.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Memory {
    pub(super) own: u64,
    pub(super) maps: u64,
}

/// What is resident.
pub(super) fn memory(process: u32) -> Result<Memory> {
    let path = format!("/proc/{process}/smaps");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    Ok(parse_smaps(&text))
}

fn parse_smaps(text: &str) -> Memory {
    let mut memory = Memory::default();
    let mut is_map = false;
    for line in text.lines() {
        if let Some(rss) = line.strip_prefix("Rss:") {
            let kib: u64 = rss.trim().trim_end_matches(" kB").parse().unwrap_or_default();
            let sum = if is_map { &mut memory.maps } else { &mut memory.own };
            *sum += kib * 1024;
        } else if line.split_whitespace().next().is_some_and(|first| !first.ends_with(':')) {
            // A mapping begins with its addresses.
            is_map = line.contains("bpf-map");
        }
    }
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_spaces_and_parentheses() {
        let text = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(parse_stat(text), Some(Duration::from_secs(2)));
        assert_eq!(parse_stat("7 (vip) S 1 2"), None);
    }

    #[test]
    fn mapped_tables_are_told_from_other_memory() {
        let text = "7f00-7f10 rw-s 00000000 00:0f 9  anon_inode:bpf-map\nSize: 9 kB\nRss:   8 kB\n\
                    8f00-8f10 rw-p 00000000 00:00 0  [heap]\nRss: 4 kB\nPss: 1 kB\n9f00-9f10 r--p 0 0:0 0\nRss: 2 kB\n";
        assert_eq!(parse_smaps(text), Memory { own: 6 * 1024, maps: 8 * 1024 });
    }

    #[test]
    fn this_process_has_taken_something() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.own > 1024 && memory.maps == 0, "{memory:?}");
        assert!(cpu_time(std::process::id()).is_ok());
    }
}
