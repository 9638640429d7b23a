//! What must hold before anything is tried: privileges, the kernel's version, a BPF file system. It changes nothing.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FsWord, statfs},
    system::uname,
    thread::CapabilitySet,
};

use crate::places::Places;

/// The oldest kernel that the programs are checked on.
pub const OLDEST_KERNEL: (u32, u32) = (6, 1);

/// `BPF_FS_MAGIC`, include/uapi/linux/magic.h.
const BPF_FS: FsWord = 0xcafe_4a11;

/// Why it can't work here.
#[derive(Debug, thiserror::Error)]
pub enum Preflight {
    /// Not enough privileges.
    #[error("vip needs root (or the capabilities CAP_BPF and CAP_NET_ADMIN): use sudo")]
    NotPermitted,
    /// The kernel is too old, or of an unknown version.
    #[error("vip needs Linux {major}.{minor} or newer, this is {release:?}", major = OLDEST_KERNEL.0, minor = OLDEST_KERNEL.1)]
    OldKernel {
        /// What it says of itself.
        release: String,
    },
    /// There is no BPF file system where one is expected.
    #[error("there is no BPF file system at {path}: mount one with `mount -t bpf bpf {path}`", path = .0.display())]
    NoBpffs(PathBuf),
    /// The machine does not answer.
    #[error("{0}")]
    Unknown(String, #[source] io::Error),
}

/// Checks that vip can work here.
///
/// # Errors
/// What is missing, and how to get it.
pub fn check(places: &Places) -> Result<(), Preflight> {
    if !is_permitted()? {
        return Err(Preflight::NotPermitted);
    }
    let release = release();
    if !is_supported(&release) {
        return Err(Preflight::OldKernel { release });
    }
    if !has_bpffs(&places.bpffs) {
        return Err(Preflight::NoBpffs(places.bpffs.clone()));
    }
    Ok(())
}

/// Whether this process has the capabilities that it takes.
///
/// # Errors
/// The kernel does not tell.
pub fn is_permitted() -> Result<bool, Preflight> {
    let own = rustix::thread::capabilities(None)
        .map_err(|error| Preflight::Unknown("ask for this process's capabilities".into(), error.into()))?;
    Ok(may(own.effective))
}

/// What the kernel says that it is: `6.1.0-40-cloud-amd64`.
#[must_use]
pub fn release() -> String {
    uname().release().to_string_lossy().into_owned()
}

/// Whether a kernel of that release is new enough.
#[must_use]
pub fn is_supported(release: &str) -> bool {
    version(release).is_some_and(|version| version >= OLDEST_KERNEL)
}

/// Whether there is a BPF file system.
#[must_use]
pub fn has_bpffs(path: &Path) -> bool {
    statfs(path).map(|info| info.f_type) == Ok(BPF_FS)
}

fn may(effective: CapabilitySet) -> bool {
    effective.contains(CapabilitySet::NET_ADMIN)
        && effective.intersects(CapabilitySet::BPF | CapabilitySet::SYS_ADMIN)
}

/// Major and minor number of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let (major, rest) = release.split_once('.')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((major.parse().ok()?, rest[..end].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_old_by_its_release() {
        let cases = [
            ("5.10.0-8-amd64", Some((5, 10))),
            ("6.0.19", Some((6, 0))),
            ("6.1.0-40-cloud-amd64", Some((6, 1))),
            ("6.18.44-fc-v595", Some((6, 18))),
            ("7.0-rc1", Some((7, 0))),
            ("10.2", Some((10, 2))),
            ("6", None),
            ("6.", None),
            ("six.one", None),
            ("", None),
        ];
        for (release, expected) in cases {
            assert_eq!(version(release), expected, "{release:?}");
        }
        assert!(version("6.0.19") < Some(OLDEST_KERNEL) && version("6.1.0") >= Some(OLDEST_KERNEL));
    }

    #[test]
    fn a_directory_without_a_bpf_file_system_is_named_with_the_remedy() {
        let error = Preflight::NoBpffs("/somewhere".into()).to_string();
        assert!(error.contains("mount -t bpf bpf /somewhere"), "{error}");
    }

    #[test]
    fn both_capabilities_are_needed() {
        assert!(may(CapabilitySet::NET_ADMIN | CapabilitySet::BPF));
        assert!(may(CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN));
        assert!(!may(CapabilitySet::NET_ADMIN) && !may(CapabilitySet::BPF) && !may(CapabilitySet::empty()));
    }
}
