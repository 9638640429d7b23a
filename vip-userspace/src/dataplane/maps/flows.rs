//! The flow tables, read from one end to the other. Packets write them meanwhile, and nothing here does.

use std::collections::BTreeMap;

use aya::maps::{HashMap, Map, MapData};
use bytemuck::Pod;
use vip_common::tables::{FlowEntry, FlowId4, FlowId6, names};

use super::{
    Result,
    entries::{all, size_of_table, typed},
};

/// How many entries are looked at for each that a table has room for. When an entry goes that the reader stands on, the
/// kernel begins again: under a flood that could go on for ever.
const LOOKS: usize = 4;

/// The entries of both flow tables.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct FlowEntries {
    /// `FLOWS4`.
    pub flows4: BTreeMap<FlowId4, FlowEntry>,
    /// `FLOWS6`.
    pub flows6: BTreeMap<FlowId6, FlowEntry>,
}

impl FlowEntries {
    /// Reads the tables that `open` gives by their names. A look from user space does not count as use of an entry.
    pub(in crate::dataplane) fn read(mut open: impl FnMut(&'static str) -> Result<Map>) -> Result<Self> {
        let (flows4, flows6) = (open(names::FLOWS4)?, open(names::FLOWS6)?);
        Ok(Self {
            flows4: entries::<FlowId4, { size_of::<FlowId4>() }>(names::FLOWS4, flows4)?,
            flows6: entries::<FlowId6, { size_of::<FlowId6>() }>(names::FLOWS6, flows6)?,
        })
    }
}

fn entries<K: Pod + Ord, const LEN: usize>(table: &'static str, map: Map) -> Result<BTreeMap<K, FlowEntry>> {
    let most = (size_of_table(table, &map)? as usize).saturating_mul(LOOKS);
    let map: HashMap<MapData, [u8; LEN], [u8; size_of::<FlowEntry>()]> = typed(table, map)?;
    all(table, map.iter().take(most))
}
