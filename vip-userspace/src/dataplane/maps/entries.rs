//! Keys and values as the BPF library wants them, and errors that name the table.

use std::{collections::BTreeMap, os::fd::AsFd as _};

use aya::maps::{HashMap, LpmTrie, Map, MapData, MapError, lpm_trie::Key};
use bytemuck::{AnyBitPattern, NoUninit, Pod};
use vip_common::tables::Service;

use super::Result;
use crate::dataplane::{error::DataplaneError, mapping::Words};

/// A value of `SERVICES4` and its kind: a [`Service`].
pub(super) type Value = [u8; size_of::<Service>()];
/// What a key of `WIDE4` or `WIDE6` has behind its number of bits.
pub(super) type Prefix<const LEN: usize> = [u8; LEN];

/// A table of words, mapped. The map's descriptor is not needed any more.
pub(super) fn words(table: &'static str, a_value: u32, map: Map) -> Result<Words> {
    let Map::Array(data) = map else {
        return Err(DataplaneError::Broken(format!("table {table} is no array")));
    };
    let info = data.info().map_err(failed("look at", table))?;
    if info.value_size() != a_value * 8 {
        return Err(DataplaneError::Broken(format!("table {table} does not hold values of {a_value} words")));
    }
    Words::map(data.fd().as_fd(), info.max_entries().saturating_mul(a_value))
        .map_err(DataplaneError::io(format!("map table {table}")))
}

/// A table with keys and values of the sizes that its type says.
pub(in crate::dataplane) fn typed<T: TryFrom<Map, Error = MapError>>(
    table: &'static str,
    map: Map,
) -> Result<T> {
    T::try_from(map).map_err(failed("open", table))
}

/// Number of entries of a table that only packets write.
pub(super) fn size_of_table(table: &'static str, map: &Map) -> Result<u32> {
    let Map::LruHashMap(data) = map else {
        return Err(DataplaneError::Broken(format!("table {table} does not forget its oldest entries")));
    };
    Ok(data.info().map_err(failed("look at", table))?.max_entries())
}

pub(super) fn store(table: &'static str, words: &mut Words, index: u32, word: u64) -> Result<()> {
    let entries = words.len();
    words.set(index, word).ok_or(DataplaneError::NoRoom { table, index, entries })
}

/// All entries of a hash table.
pub(super) fn all<K, V, R: Pod + Ord, W: Pod>(
    table: &'static str,
    entries: impl Iterator<Item = std::result::Result<(K, V), MapError>>,
) -> Result<BTreeMap<R, W>>
where
    K: NoUninit,
    V: NoUninit + AnyBitPattern,
{
    entries
        .map(|entry| entry.map(|(key, value)| (read(&key), read(&value))))
        .collect::<std::result::Result<_, _>>()
        .map_err(failed("read", table))
}

/// All entries of a table of prefixes.
pub(super) fn all_wide<R: Pod + Ord, const LEN: usize>(
    table: &'static str,
    map: &LpmTrie<MapData, Prefix<LEN>, Value>,
) -> Result<BTreeMap<R, Service>> {
    let keys = map.keys();
    let entry = |key: std::result::Result<Key<Prefix<LEN>>, MapError>| {
        let key = key?;
        let value = map.get(&key, 0)?;
        let bytes = [&key.prefix_len().to_ne_bytes()[..], &key.data()].concat();
        Ok((bytemuck::pod_read_unaligned(&bytes), read(&value)))
    };
    keys.map(entry).collect::<std::result::Result<_, MapError>>().map_err(failed("read", table))
}

/// Writes or removes an entry of a hash table.
pub(super) fn put<K: aya::Pod, V: aya::Pod>(
    table: &'static str,
    map: &mut HashMap<MapData, K, V>,
    key: K,
    value: Option<V>,
) -> Result<()> {
    match value {
        Some(value) => map.insert(key, value, 0).map_err(failed("write", table)),
        None => removed(table, map.remove(&key)),
    }
}

/// Writes or removes an entry of a table of prefixes; a number of bits comes first in its `key`.
pub(super) fn put_wide<const LEN: usize>(
    table: &'static str,
    map: &mut LpmTrie<MapData, Prefix<LEN>, Value>,
    key: &impl NoUninit,
    service: Option<Service>,
) -> Result<()> {
    let (bits, prefix) = bytemuck::bytes_of(key).split_at(4);
    let key = Key::new(bytemuck::pod_read_unaligned(bits), bytemuck::pod_read_unaligned(prefix));
    match service {
        Some(service) => {
            map.insert(&key, bytes::<{ size_of::<Value>() }>(&service), 0).map_err(failed("write", table))
        }
        None => removed(table, map.remove(&key)),
    }
}

/// What is not there need not be removed.
fn removed(table: &'static str, result: std::result::Result<(), MapError>) -> Result<()> {
    match result {
        Err(error) if !is_missing(&error) => Err(failed("remove from", table)(error)),
        _ => Ok(()),
    }
}

/// True where an entry can't be removed because it is not there.
fn is_missing(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound => true,
        MapError::SyscallError(error) => error.io_error.raw_os_error() == Some(libc::ENOENT),
        _ => false,
    }
}

/// A MAC as a key of `STATIONS`: the first 6 bytes of a word.
pub(super) const fn station_key([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_ne_bytes([a, b, c, d, e, f, 0, 0])
}

/// The MAC of a key of `STATIONS`.
pub(super) const fn station_mac(key: u64) -> [u8; 6] {
    let [a, b, c, d, e, f, _, _] = key.to_ne_bytes();
    [a, b, c, d, e, f]
}

/// The bytes of a value, for the BPF library.
pub(super) fn bytes<const LEN: usize>(value: &impl NoUninit) -> [u8; LEN] {
    bytemuck::pod_read_unaligned(bytemuck::bytes_of(value))
}

fn read<T: AnyBitPattern>(value: &impl NoUninit) -> T {
    bytemuck::pod_read_unaligned(bytemuck::bytes_of(value))
}

pub(in crate::dataplane) fn failed(
    verb: &str,
    table: &'static str,
) -> impl FnOnce(MapError) -> DataplaneError {
    DataplaneError::aya(format!("{verb} table {table}"))
}
