//! Where an instance keeps its pins, socket, lock and state. Paths alone: nothing here touches a file.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};
use vip_common::tables::LAYOUT;

/// Length of the longest instance name, in bytes.
pub const MAX_INSTANCE: usize = 32;

/// The usual configuration file, of the instance that has no other name.
pub const CONFIG: &str = "/etc/vip/vip.toml";

/// The name of an instance: two of them never touch each other. Part of paths in bpffs, which allows no dots.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instance(String);

/// A text that is no instance name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no instance name: use 1 to 32 letters, digits, '-' and '_', the first a letter or a digit")]
pub struct BadInstance(pub String);

impl Instance {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Instance {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for Instance {
    type Err = BadInstance;

    fn from_str(text: &str) -> Result<Self, BadInstance> {
        let fits = text.len() <= MAX_INSTANCE
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if fits { Ok(Self(text.to_owned())) } else { Err(BadInstance(text.to_owned())) }
    }
}

impl TryFrom<String> for Instance {
    type Error = BadInstance;

    fn try_from(text: String) -> Result<Self, BadInstance> {
        text.parse()
    }
}

impl From<Instance> for String {
    fn from(instance: Instance) -> Self {
        instance.0
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The places of one instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Places {
    /// Mount point of the BPF file system.
    pub bpffs: PathBuf,
    /// Directory of sockets and locks.
    pub run: PathBuf,
    /// Directory of what outlives a restart of the machine.
    pub state: PathBuf,
    /// The instance.
    pub instance: Instance,
}

impl Default for Places {
    fn default() -> Self {
        Self::of(Instance::default())
    }
}

impl Places {
    /// The usual places of an instance.
    #[must_use]
    pub fn of(instance: Instance) -> Self {
        let (bpffs, run, state) = ("/sys/fs/bpf".into(), "/run/vip".into(), "/var/lib/vip".into());
        Self { bpffs, run, state, instance }
    }

    /// The directory of the instance's pins, of all layouts.
    #[must_use]
    pub fn all_pins(&self) -> PathBuf {
        self.bpffs.join("vip").join(self.instance.as_str())
    }

    /// The directory of the pins of this program's layout.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.all_pins().join(format!("v{LAYOUT}"))
    }

    /// The control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run.join(format!("{}.sock", self.instance))
    }

    /// The file that a running controller holds a lock on.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.run.join(format!("{}.lock", self.instance))
    }

    /// The directory of the operator's wishes.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.state.join(self.instance.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_name_can_be_part_of_a_path_in_bpffs() {
        for good in ["default", "a", "lab-4_x", &"x".repeat(32)] {
            assert_eq!(good.parse::<Instance>().map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", ".", "..", "a/b", "a.b", "-a", "a b", "é", &"x".repeat(33)] {
            assert_eq!(bad.parse::<Instance>(), Err(BadInstance(bad.to_owned())));
        }
    }

    #[test]
    fn instances_share_no_place() {
        let places = |name: &str| Places::of(name.parse().expect("a name"));
        let (a, b) = (places("a"), places("b"));
        assert_eq!(a.pins().to_str(), Some(format!("/sys/fs/bpf/vip/a/v{LAYOUT}").as_str()));
        assert_eq!(a.socket().to_str(), Some("/run/vip/a.sock"));
        assert_eq!(a.lock().to_str(), Some("/run/vip/a.lock"));
        assert_eq!(a.state_dir().to_str(), Some("/var/lib/vip/a"));
        assert!(a.pins() != b.pins() && a.socket() != b.socket() && a.state_dir() != b.state_dir());
    }
}
