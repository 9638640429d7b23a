//! What a controller leaves for the next one: the operator's wishes by command, the names of what is published, the
//! secret seed. Files in one directory, each replaced as a whole.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use vip_common::MemberId;

use crate::{
    control::protocol::Command,
    model::{Drains, Intent, MemberKey, Shared},
    ring::RingKey,
};

/// The directory of one instance.
#[derive(Clone, Debug)]
pub struct Memory {
    directory: PathBuf,
}

/// Whose the numbers in the published tables are, for whoever reads them without a controller.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Labels {
    /// The intent that was published.
    pub intent: Shared<Intent>,
    /// Members by id.
    pub members: Shared<Vec<(u32, MemberKey)>>,
    /// Link-layer groups that ports were made to listen to.
    pub groups: std::collections::BTreeSet<crate::net::Membership>,
    /// Interfaces whose NICs took VLAN tags off before.
    #[serde(default)]
    pub took_tags: std::collections::BTreeSet<crate::net::TookTags>,
    /// Interfaces that were made to take packets from addresses of this box, by index.
    #[serde(default)]
    pub opened: std::collections::BTreeSet<u32>,
}

impl Labels {
    /// Members by id.
    #[must_use]
    pub fn by_id(&self) -> BTreeMap<MemberId, MemberKey> {
        self.members.iter().map(|(id, key)| (MemberId(*id), key.clone())).collect()
    }
}

impl Memory {
    /// Makes the directory where there is none. Only its owner may look into it.
    ///
    /// # Errors
    /// It can't be made.
    pub fn open(directory: &Path) -> anyhow::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("make the state directory {}", directory.display()))?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// The directory, whether it exists or not: for reading only.
    #[must_use]
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The names of what is published; none if nobody has left any.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn labels(&self) -> anyhow::Result<Option<Labels>> {
        self.load("published.json")
    }

    /// Keeps the names of what is published.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn keep_labels(&self, labels: &Labels) -> anyhow::Result<()> {
        // For programs alone: it may be long.
        self.keep("published.json", &serde_json::to_vec(labels)?)
    }

    /// Nothing is published any more.
    ///
    /// # Errors
    /// The file can't be removed.
    pub fn forget_labels(&self) -> anyhow::Result<()> {
        let path = self.directory.join("published.json");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// The operator's commands that still hold, in their order.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn wishes(&self) -> anyhow::Result<Vec<Command>> {
        Ok(self.load("wishes.json")?.unwrap_or_default())
    }

    /// Keeps the operator's commands.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn keep_wishes(&self, wishes: &[Command]) -> anyhow::Result<()> {
        self.keep("wishes.json", &serde_json::to_vec_pretty(wishes)?)
    }

    /// The drains that went on.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn drains(&self) -> anyhow::Result<Drains> {
        Ok(Drains::adopted(self.load("drains.json")?.unwrap_or_default()))
    }

    /// Keeps the drains that go on: when they began and are to end.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn keep_drains(&self, drains: &Drains) -> anyhow::Result<()> {
        let all: Vec<_> = drains.iter().collect();
        self.keep("drains.json", &serde_json::to_vec_pretty(&all)?)
    }

    /// The secret that was made at first use, if it was.
    ///
    /// # Errors
    /// The file can't be read, or holds no seed.
    pub fn known_seed(&self) -> anyhow::Result<Option<RingKey>> {
        let path = self.directory.join("seed");
        match fs::read_to_string(&path) {
            Ok(text) => text
                .trim()
                .parse()
                .map(Some)
                .with_context(|| format!("{} holds no seed: remove it for a new one", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// The secret that rings and flow hash are made with; made at first use.
    ///
    /// # Errors
    /// The file can't be read or written, or holds no seed.
    pub fn seed(&self) -> anyhow::Result<RingKey> {
        if let Some(known) = self.known_seed()? {
            return Ok(known);
        }
        let mut bytes = [0; 16];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .context("ask the kernel for random bytes")?;
        let key = RingKey::new(bytes);
        self.keep("seed", key.reveal().as_bytes())?;
        Ok(key)
    }

    fn load<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let path = self.directory.join(name);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .with_context(|| format!("{} is damaged: remove it to go on without", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Writes beside and renames: a reader, or a crash, meets the old file or the new one.
    fn keep(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let (path, new) = (self.directory.join(name), self.directory.join(format!("{name}.new")));
        let write = || -> io::Result<()> {
            let mut file =
                fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().with_context(|| format!("write {}", path.display()))
    }
}

/// Adds a wish, and drops those that it makes pointless.
pub(super) fn add_wish(wishes: &mut Vec<Command>, wish: Command) {
    wishes.retain(|old| !replaces(&wish, old));
    wishes.push(wish);
}

fn replaces(new: &Command, old: &Command) -> bool {
    match (new, old) {
        (Command::SetAdmin { backend, service, .. }, Command::SetAdmin { backend: b, service: s, .. })
        | (Command::SetWeight { backend, service, .. }, Command::SetWeight { backend: b, service: s, .. }) => {
            backend == b && (service.is_none() || service == s)
        }
        (Command::SetMaintenance { backend, .. }, Command::SetMaintenance { backend: b, .. }) => backend == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Admin, Countdown, Draining, Maintenance};

    fn admin(backend: &str, service: Option<&str>, admin: Admin) -> Command {
        let service = service.map(|service| service.parse().expect("a name"));
        Command::SetAdmin { backend: backend.parse().expect("a name"), service, admin, timeout: None }
    }

    #[test]
    fn a_wish_replaces_those_that_it_makes_pointless_and_no_others() {
        let mut wishes = Vec::new();
        add_wish(&mut wishes, admin("b1", Some("web"), Admin::Disabled));
        add_wish(&mut wishes, admin("b2", None, Admin::Disabled));
        add_wish(&mut wishes, admin("b1", Some("dns"), Admin::Disabled));
        add_wish(&mut wishes, admin("b1", None, Admin::Enabled));
        assert_eq!(wishes, [admin("b2", None, Admin::Disabled), admin("b1", None, Admin::Enabled)]);
    }

    #[test]
    fn a_wish_for_maintenance_lasts_until_another_one_and_touches_no_wish_for_a_member() {
        let maintenance = |maintenance| Command::SetMaintenance {
            backend: "b1".parse().expect("a name"),
            maintenance,
            timeout: None,
        };
        let drained = admin("b1", Some("web"), Admin::Draining);
        let mut wishes = vec![drained.clone()];
        add_wish(&mut wishes, maintenance(Maintenance::Draining));
        add_wish(&mut wishes, maintenance(Maintenance::Disabled));
        assert_eq!(wishes, [drained.clone(), maintenance(Maintenance::Disabled)]);
        add_wish(&mut wishes, admin("b1", None, Admin::Enabled));
        assert_eq!(wishes, [maintenance(Maintenance::Disabled), admin("b1", None, Admin::Enabled)]);
        add_wish(&mut wishes, maintenance(Maintenance::Off));
        assert_eq!(wishes, [admin("b1", None, Admin::Enabled), maintenance(Maintenance::Off)]);
    }

    #[test]
    fn drains_are_kept_as_they_are() {
        let directory = tempfile::tempdir().expect("a directory");
        let memory = Memory::open(directory.path()).expect("a memory");
        assert_eq!(memory.drains().expect("none"), Drains::default());
        let draining = |service: Option<&str>| Draining {
            service: service.map(|name| name.parse().expect("a name")),
            backend: "b1".parse().expect("a name"),
        };
        let (since, until) = (Duration::from_millis(1_764_108_000_123), Some(Duration::from_secs(1 << 31)));
        let drains = Drains::adopted(vec![
            (draining(None), Countdown { since, until: None }),
            (draining(Some("web")), Countdown { since, until }),
        ]);
        memory.keep_drains(&drains).expect("kept");
        assert_eq!(memory.drains().expect("drains"), drains);
    }
}
