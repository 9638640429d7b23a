//! Tables as the maps of a loaded program have them.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, HashMap, LpmTrie, lpm_trie::Key},
};
use bytemuck::cast;
use vip_common::tables::{StationKey, names};
use vip_userspace::plan::Tables;

use super::map_mut;

/// Fills the maps of a loaded director.
///
/// # Errors
/// A map has no room.
pub fn publish(ebpf: &mut Ebpf, tables: &Tables) -> Result<()> {
    for (ifindex, port) in &tables.ports {
        set::<8>(ebpf, names::PORTS, *ifindex, cast(*port))?;
    }
    for (index, word) in tables.vip_words() {
        set::<8>(ebpf, names::VIPS, index, cast(word))?;
    }
    for (first, slots) in &tables.rings {
        for (index, slot) in (*first..).zip(slots.iter()) {
            set::<8>(ebpf, names::RINGS, index, cast(slot))?;
        }
    }
    for (id, member) in &tables.members {
        set::<16>(ebpf, names::MEMBERS, id.0, cast(*member))?;
    }
    for (id, egress) in &tables.egresses {
        set::<16>(ebpf, names::EGRESSES, id.0.into(), cast(*egress))?;
    }
    if let Some(key) = tables.flow_key {
        set::<88>(ebpf, names::FLOW_KEY, 0, cast(key))?;
    }
    for (id, terms) in &tables.terms {
        set::<16>(ebpf, names::TERMS, *id, cast(*terms))?;
    }
    for (mac, station) in &tables.stations {
        insert::<8, 8>(ebpf, names::STATIONS, cast(StationKey::new(*mac)), cast(*station))?;
    }
    for (key, service) in &tables.wide4 {
        let [bits, data @ ..]: [u32; 3] = cast(*key);
        let mut trie: LpmTrie<_, [u8; 8], [u8; 32]> = map_mut(ebpf, names::WIDE4)?.try_into()?;
        trie.insert(&Key::new(bits, cast(data)), cast::<_, [u8; 32]>(*service), 0).context("write WIDE4")?;
    }
    for (key, service) in &tables.wide6 {
        let [bits, data @ ..]: [u32; 6] = cast(*key);
        let mut trie: LpmTrie<_, [u8; 20], [u8; 32]> = map_mut(ebpf, names::WIDE6)?.try_into()?;
        trie.insert(&Key::new(bits, cast(data)), cast::<_, [u8; 32]>(*service), 0).context("write WIDE6")?;
    }
    for (key, service) in &tables.services4 {
        insert::<8, 32>(ebpf, names::SERVICES4, cast(*key), cast(*service))?;
    }
    for (key, service) in &tables.services6 {
        insert::<20, 32>(ebpf, names::SERVICES6, cast(*key), cast(*service))?;
    }
    Ok(())
}

fn set<const N: usize>(ebpf: &mut Ebpf, name: &str, index: u32, value: [u8; N]) -> Result<()> {
    let mut array: Array<_, [u8; N]> = map_mut(ebpf, name)?.try_into()?;
    array.set(index, value, 0).with_context(|| format!("write {name}[{index}]"))
}

fn insert<const N: usize, const V: usize>(
    ebpf: &mut Ebpf,
    name: &str,
    key: [u8; N],
    value: [u8; V],
) -> Result<()> {
    let mut hash: HashMap<_, [u8; N], [u8; V]> = map_mut(ebpf, name)?.try_into()?;
    hash.insert(key, value, 0).with_context(|| format!("write {name}"))
}
