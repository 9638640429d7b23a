//! An instance's pins in the BPF file system: where they are, whether they fit this program, how they are made and
//! removed. What they stand for is not its business.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use aya::{maps::MapInfo, programs::Xdp};
use vip_common::tables::{LAYOUT, names};

use super::{
    Capacity,
    error::DataplaneError,
    object::PROGRAM,
    shapes::{Shape, port_entries, shapes},
    xdp_link::XdpLink,
};
use crate::places::{Instance, Places};

/// Start of the name of a pinned link; its interface's index follows.
const LINK: &str = "link-";
/// Start of the name of a pinned link of the classifier; its interface's index follows.
const PROBE_LINK: &str = "probe-link-";

/// The pins of one instance.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    /// Of all layouts.
    root: PathBuf,
    /// Of this layout.
    dir: PathBuf,
    pub(super) instance: Instance,
}

/// The tables to have: what is pinned fits, what is missing is to be made.
pub(super) struct Wanted {
    pub(super) shapes: Vec<Shape>,
    /// How many are pinned already.
    pub(super) pinned: usize,
}

impl Pins {
    pub(super) fn new(places: &Places) -> Self {
        Self { root: places.all_pins(), dir: places.pins(), instance: places.instance.clone() }
    }

    pub(super) fn table(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn link(&self, ifindex: u32) -> PathBuf {
        self.dir.join(format!("{LINK}{ifindex}"))
    }

    pub(super) fn probe_link(&self, ifindex: u32) -> PathBuf {
        self.dir.join(format!("{PROBE_LINK}{ifindex}"))
    }

    /// True if anything of this layout is pinned.
    pub(super) fn exist(&self) -> bool {
        self.dir.exists()
    }

    /// The directories of all layouts.
    pub(super) fn layouts(&self) -> Result<Vec<PathBuf>, DataplaneError> {
        entries(&self.root)
    }

    /// # Errors
    /// There are pins of another layout.
    pub(super) fn refuse_other_layouts(&self) -> Result<(), DataplaneError> {
        match self.layouts()?.into_iter().find(|layout| *layout != self.dir) {
            None => Ok(()),
            Some(path) => {
                Err(DataplaneError::OtherLayout { path, ours: LAYOUT, instance: self.instance.clone() })
            }
        }
    }

    /// The tables to have, for a capacity and interfaces up to an index. A pinned `PORTS` may have any size: it was
    /// made when there were other interfaces.
    ///
    /// # Errors
    /// A pinned table does not fit.
    pub(super) fn wanted(&self, capacity: Capacity, largest: u32) -> Result<Wanted, DataplaneError> {
        let mut wanted = Wanted { shapes: shapes(capacity, port_entries(largest)), pinned: 0 };
        for shape in &mut wanted.shapes {
            let path = self.table(shape.name);
            if !path.exists() {
                continue;
            }
            let what = format!("look at {}", path.display());
            let info = MapInfo::from_pin(&path).map_err(DataplaneError::aya(what))?;
            if shape.name == names::PORTS {
                shape.entries = info.max_entries();
            }
            self.check(path, &info, shape)?;
            wanted.pinned += 1;
        }
        Ok(wanted)
    }

    fn check(&self, path: PathBuf, info: &MapInfo, shape: &Shape) -> Result<(), DataplaneError> {
        let kind = info.map_type().map_err(DataplaneError::aya(format!("look at {}", path.display())))?;
        let properties = [
            ("the type", format!("{kind:?}"), format!("{:?}", shape.kind)),
            ("a key size of", info.key_size().to_string(), shape.key.to_string()),
            ("a value size of", info.value_size().to_string(), shape.value.to_string()),
            ("the flags", format!("{:#x}", info.map_flags()), format!("{:#x}", shape.flags)),
            ("a number of entries of", info.max_entries().to_string(), shape.entries.to_string()),
        ];
        match properties.into_iter().find(|(_, found, wanted)| found != wanted) {
            None => Ok(()),
            Some((what, found, wanted)) => {
                let instance = self.instance.clone();
                Err(DataplaneError::TableMismatch { path, what, found, wanted, instance })
            }
        }
    }

    /// Makes the directory of this layout, for its owner alone.
    pub(super) fn create(&self) -> Result<(), DataplaneError> {
        let result = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        result.map_err(DataplaneError::io(format!("make {}", self.dir.display())))
    }

    /// Pins the program in place of the one before, if any.
    pub(super) fn put_program(&self, program: &mut Xdp) -> Result<(), DataplaneError> {
        let (path, new) = (self.dir.join(PROGRAM), self.dir.join(format!("{PROGRAM}-new")));
        // Left by a controller that died between the two steps.
        remove_file(&new)?;
        program.pin(&new).map_err(DataplaneError::aya(format!("pin the program at {}", new.display())))?;
        fs::rename(&new, &path).map_err(DataplaneError::io(format!("pin the program at {}", path.display())))
    }

    /// Interface indices of the pinned links of this layout.
    pub(super) fn links(&self) -> Result<Vec<u32>, DataplaneError> {
        let mut links: Vec<u32> = entries(&self.dir)?.iter().filter_map(|path| link_index(path)).collect();
        links.sort_unstable();
        Ok(links)
    }

    /// Removes the pins of links whose interface is gone.
    pub(super) fn drop_dead_links(&self) -> Result<Vec<u32>, DataplaneError> {
        let mut dead = Vec::new();
        for ifindex in self.links()? {
            let path = self.link(ifindex);
            if open_link(&path)?.is_some_and(|(_, now)| now.ifindex == 0) {
                remove_file(&self.probe_link(ifindex))?;
                remove_file(&path)?;
                dead.push(ifindex);
            }
        }
        Ok(dead)
    }

    /// Removes the directory of the instance, once it is empty.
    pub(super) fn remove_root(&self) -> Result<(), DataplaneError> {
        remove_dir(&self.root)?;
        // The directory of all instances, if this was the last one.
        match self.root.parent().map(fs::remove_dir) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(error))
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) =>
            {
                Ok(())
            }
            Some(Err(error)) => {
                Err(DataplaneError::io(format!("remove the parent of {}", self.root.display()))(error))
            }
        }
    }
}

/// The pins in a directory; none where that does not exist.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>, DataplaneError> {
    let failed = |error| DataplaneError::io(format!("list {}", dir.display()))(error);
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

/// The interface index in the name of a pinned link.
pub(super) fn link_index(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_prefix(LINK)?.parse().ok()
}

/// Opens a pinned link, if there is one.
pub(super) fn open_link(path: &Path) -> Result<Option<(XdpLink, super::xdp_link::LinkInfo)>, DataplaneError> {
    let what = || format!("open the link {}", path.display());
    match XdpLink::open(path) {
        Ok(link) => {
            let info = link.info().map_err(DataplaneError::io(what()))?;
            Ok(Some((link, info)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DataplaneError::io(what())(error)),
    }
}

/// Removes a pin, if it is there.
pub(super) fn remove_file(path: &Path) -> Result<(), DataplaneError> {
    gone(fs::remove_file(path), path)
}

/// Removes an empty directory, if it is there.
pub(super) fn remove_dir(path: &Path) -> Result<(), DataplaneError> {
    gone(fs::remove_dir(path), path)
}

fn gone(result: io::Result<()>, path: &Path) -> Result<(), DataplaneError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DataplaneError::io(format!("remove {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_links_pin_says_which_interface_it_is_of() {
        let pins = Pins::new(&Places::default());
        assert_eq!(link_index(&pins.link(17)), Some(17));
        for other in ["/v1/director", "/v1/link-", "/v1/link-x", "/v1/PORTS", "/"] {
            assert_eq!(link_index(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_has_no_pins() {
        assert_eq!(entries(Path::new("/nowhere/at/all")).expect("list"), Vec::<PathBuf>::new());
        remove_file(Path::new("/nowhere/at/all")).expect("nothing to remove");
    }
}
