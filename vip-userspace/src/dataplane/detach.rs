//! The end of an instance: links, program, tables and directories of every layout. It works without a controller, and
//! on what another version left.

use std::collections::BTreeSet;

use super::{
    classifier,
    error::DataplaneError,
    interface,
    pins::{Pins, entries, link_index, open_link, remove_dir, remove_file},
};
use crate::places::Places;

/// What was there.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Detached {
    /// The indices of those of them that are in this network namespace.
    pub indices: BTreeSet<u32>,
    /// The interfaces that forwarded until now; those of other network namespaces by their index.
    pub interfaces: Vec<String>,
    /// Anything was pinned at all.
    pub found: bool,
}

/// Ends forwarding and removes all that is pinned. Doing it twice is doing it once.
///
/// # Errors
/// Something can't be removed; what was removed before stays so.
pub fn detach(places: &Places) -> Result<Detached, DataplaneError> {
    let pins = Pins::new(places);
    let layouts = pins.layouts()?;
    let mut detached = Detached { found: !layouts.is_empty(), ..Detached::default() };
    for layout in &layouts {
        let (links, rest): (Vec<_>, Vec<_>) =
            entries(layout)?.into_iter().partition(|path| link_index(path).is_some());
        // Links first: an error later must not leave a program that forwards by half of its tables.
        for path in links {
            if let Some((link, info)) = open_link(&path)? {
                let interface = name_of(info.ifindex, info.program)?;
                classifier::detach(&pins.probe_link(info.ifindex), interface.as_deref())?;
                detached.indices.extend(interface.is_some().then_some(info.ifindex));
                let elsewhere = || format!("interface {} of another network namespace", info.ifindex);
                let interface = (info.ifindex != 0).then(|| interface.unwrap_or_else(elsewhere));
                link.detach().map_err(DataplaneError::io(format!("detach the link {}", path.display())))?;
                detached.interfaces.extend(interface);
            }
            remove_file(&path)?;
        }
        for path in rest {
            remove_file(&path)?;
        }
        remove_dir(layout)?;
    }
    if detached.found {
        pins.remove_root()?;
    }
    Ok(detached)
}

/// The name of the interface that runs a program; `None` where it is gone, or in another network namespace.
fn name_of(ifindex: u32, program: u32) -> Result<Option<String>, DataplaneError> {
    if ifindex == 0 {
        return Ok(None);
    }
    let what = format!("look at interface {ifindex}");
    let found = interface::by_index(ifindex).map_err(DataplaneError::io(what))?;
    Ok(found.filter(|found| found.xdp.is_some_and(|xdp| xdp.program == program)).map(|found| found.name))
}
