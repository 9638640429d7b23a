//! What forwards now, read from the pins alone: for whoever asks while no controller runs. It changes nothing.

use aya::maps::{Map, MapData};

use super::{
    Capacity, Counts, Mode,
    error::DataplaneError,
    interface,
    maps::{FlowEntries, Maps},
    pins::{Pins, open_link},
};
use crate::{places::Places, plan::Tables};

/// What is pinned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// The tables.
    pub tables: Tables,
    /// What was counted.
    pub counts: Counts,
    /// The interfaces that forward.
    pub interfaces: Vec<Attached>,
    /// How much the tables hold.
    pub capacity: Capacity,
}

/// An interface that forwards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attached {
    /// Its index.
    pub ifindex: u32,
    /// Its name; `None` where it is in another network namespace.
    pub name: Option<String>,
    /// How the program is attached; `None` where it is in another network namespace.
    pub mode: Option<Mode>,
}

/// Reads what an instance has pinned; `None` where that is nothing.
///
/// # Errors
/// The pins are of another layout, incomplete, or can't be read.
pub fn inspect(places: &Places) -> Result<Option<Inspection>, DataplaneError> {
    let pins = Pins::new(places);
    if !pins.exist() {
        pins.refuse_other_layouts()?;
        return Ok(None);
    }
    let maps = Maps::new(|name| open_table(&pins, name))?;
    let (tables, counts) = (maps.read()?, maps.counts()?);
    Ok(Some(Inspection { tables, counts, interfaces: attached(&pins)?, capacity: maps.capacity() }))
}

/// Reads the flow tables that an instance has pinned, live entries and others. What comes and goes meanwhile may be among
/// them or not.
///
/// # Errors
/// They are not there, or can't be read.
pub fn flow_entries(places: &Places) -> Result<FlowEntries, DataplaneError> {
    let pins = Pins::new(places);
    FlowEntries::read(|name| open_table(&pins, name))
}

pub(super) fn open_table(pins: &Pins, name: &str) -> Result<Map, DataplaneError> {
    let path = pins.table(name);
    if !path.exists() {
        return Err(DataplaneError::MissingPin(path));
    }
    let what = || format!("open {}", path.display());
    let data = MapData::from_pin(&path).map_err(DataplaneError::aya(what()))?;
    Map::from_map_data(data).map_err(DataplaneError::aya(what()))
}

/// The interfaces of all pinned links that are not gone.
pub(super) fn attached(pins: &Pins) -> Result<Vec<Attached>, DataplaneError> {
    let mut all = Vec::new();
    for ifindex in pins.links()? {
        let Some((_, info)) = open_link(&pins.link(ifindex))?.filter(|(_, info)| info.ifindex != 0) else {
            continue;
        };
        let found = interface::by_index(info.ifindex)
            .map_err(DataplaneError::io(format!("look at interface {}", info.ifindex)))?;
        let mode = found.as_ref().and_then(|found| found.xdp).filter(|xdp| xdp.program == info.program);
        let name = found.filter(|_| mode.is_some()).map(|found| found.name);
        all.push(Attached { ifindex: info.ifindex, name, mode: mode.map(|xdp| xdp.mode) });
    }
    Ok(all)
}
