//! Where a lab is written down, so that it can be entered, looked at and removed, also after its program was killed.

use std::{
    fs::{self, DirBuilder, File},
    hash::{BuildHasher as _, RandomState},
    io::{ErrorKind, Write as _},
    net::IpAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{net::sweep, program};

/// All labs of this machine.
const LABS: &str = "/run/vip-lab";
/// What is written down of one that was left up.
const RECORD: &str = "lab.json";
/// Held by the program that shows the lab, with its process id inside.
const LOCK: &str = "lock";

/// What is written down of a lab that was left up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its name; that of everything in it begins with it.
    pub(super) name: String,
    /// The file of `vip`.
    pub(super) program: PathBuf,
    /// Options that `vip` needs to find the lab's installation.
    pub(super) options: Vec<String>,
    /// The VIPs.
    pub(super) vips: Vec<IpAddr>,
    /// Names of its hosts with their addresses, the switch without.
    pub(super) hosts: Vec<(String, Vec<IpAddr>)>,
}

/// The directory of a lab; removed with everything in the lab when dropped.
#[derive(Debug)]
pub(super) struct Place {
    name: String,
    keep: bool,
    _lock: File,
}

impl Place {
    /// A place for a new lab, with a random name. From now on all of it can be removed by others, if need be.
    pub(super) fn new() -> Result<Self> {
        let name = format!("lab-{:06x}", RandomState::new().hash_one(0) & 0xff_ffff);
        let dir = dir_of(&name);
        DirBuilder::new().recursive(true).mode(0o755).create(LABS).with_context(|| format!("make {LABS}"))?;
        DirBuilder::new().mode(0o755).create(&dir).with_context(|| format!("make {}", dir.display()))?;
        let mut lock = File::create(dir.join(LOCK)).context("make the lab's lock")?;
        lock.try_lock().context("lock the lab")?;
        writeln!(lock, "{}", std::process::id()).context("write the lab's lock")?;
        Ok(Self { name, keep: false, _lock: lock })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The directory of the installation of `vip`.
    pub(super) fn vip(&self) -> PathBuf {
        dir_of(&self.name).join("vip")
    }

    /// Leaves it there when the guard is dropped, and writes down what was left.
    pub(super) fn keep(mut self, record: &Record) -> Result<()> {
        let text = serde_json::to_vec_pretty(record)?;
        fs::write(dir_of(&self.name).join(RECORD), text).context("write the lab down")?;
        self.keep = true;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            remove(&self.name);
        }
    }
}

/// Labs that were left up, by name, and those that their programs had no time to remove (`None`).
pub(super) fn left() -> Result<Vec<(String, Option<Record>)>> {
    let mut left = Vec::new();
    let entries = match fs::read_dir(LABS) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(left),
        entries => entries.with_context(|| format!("list {LABS}"))?,
    };
    for entry in entries {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if is_left(&name) {
            let record = read(&name).ok();
            left.push((name, record));
        }
    }
    left.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(left)
}

/// Whether there is a lab of that name that no program shows.
pub(super) fn is_left(name: &str) -> bool {
    File::open(dir_of(name).join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

/// The lab of that name, or the only one that was left up.
pub(super) fn find(name: Option<&str>) -> Result<Record> {
    if let Some(name) = name {
        return read(name);
    }
    let mut kept: Vec<_> = left()?.into_iter().filter_map(|(_, record)| record).collect();
    match (kept.pop(), kept.as_slice()) {
        (Some(record), []) => Ok(record),
        (None, _) => bail!("no lab is up: `cargo xtask lab --keep` leaves one up"),
        (Some(last), others) => {
            let names: Vec<_> = others.iter().chain([&last]).map(|record| record.name.as_str()).collect();
            bail!("several labs are up ({}): say which one with --name", names.join(", "))
        }
    }
}

/// Removes a lab as far as it is there. Nobody is left to tell of failures.
pub(super) fn remove(name: &str) {
    // Processes first: they use what is removed next.
    let _ = sweep(&format!("{name}-"));
    let dir = dir_of(name);
    program::remove(&dir.join("vip"));
    let _ = fs::remove_dir_all(dir);
    // Only if it was the last one.
    let _ = fs::remove_dir(LABS);
}

fn read(name: &str) -> Result<Record> {
    let text = fs::read(dir_of(name).join(RECORD)).with_context(|| format!("there is no lab {name}"))?;
    serde_json::from_slice(&text).with_context(|| format!("read what is written down of lab {name}"))
}

fn dir_of(name: &str) -> PathBuf {
    Path::new(LABS).join(name)
}
