//! A BPF file system that nobody else has: what is pinned there goes with it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A mounted BPF file system; unmounted when dropped, its directory as well.
#[derive(Debug)]
pub struct BpfFs {
    dir: PathBuf,
    keep: bool,
}

impl BpfFs {
    /// Mounts one at `dir`, which is made.
    ///
    /// # Errors
    /// It can't be mounted.
    pub fn mount(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        mount("bpf", dir, "bpf", MountFlags::empty(), None)
            .with_context(|| format!("mount a BPF file system at {}", dir.display()))?;
        Ok(Self { dir: dir.to_owned(), keep: false })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Leaves it there when the guard is dropped; [`Self::remove`] removes it.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// Unmounts what is mounted at `dir`, as far as it is there. Nobody is left to tell of failures.
    pub fn remove(dir: &Path) {
        // Detached: somebody may stand in it.
        let _ = unmount(dir, UnmountFlags::DETACH);
        let _ = fs::remove_dir(dir);
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        if !self.keep {
            Self::remove(&self.dir);
        }
    }
}
