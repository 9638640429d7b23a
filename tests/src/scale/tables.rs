//! What is published, read from the pins while the controller runs: slot by slot, for that is what packets meet.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap, Map, MapData};
use vip_common::{
    MemberId,
    tables::{Service, ServiceKey4, Slot, names},
};

use super::plan::Plan;
use crate::program::Vip;

/// IP protocol number of TCP.
const TCP: u8 = 6;

/// The pinned tables.
pub(super) struct Tables {
    services: HashMap<MapData, [u8; size_of::<ServiceKey4>()], [u8; size_of::<Service>()]>,
    rings: Array<MapData, u64>,
}

impl Tables {
    /// `None` while nothing is pinned.
    pub(super) fn open(vip: &Vip) -> Result<Option<Self>> {
        if ![names::SERVICES4, names::RINGS].iter().all(|name| vip.pin(name).exists()) {
            return Ok(None);
        }
        let map = |name| -> Result<Map> { Ok(Map::from_map_data(MapData::from_pin(vip.pin(name))?)?) };
        Ok(Some(Self { services: map(names::SERVICES4)?.try_into()?, rings: map(names::RINGS)?.try_into()? }))
    }

    fn service(&self, vip: Ipv4Addr, port: u16) -> Option<Service> {
        let key = ServiceKey4 { vip: vip.octets(), port: port.to_be_bytes(), protocol: TCP, zero: 0 };
        self.services.get(&bytemuck::cast(key), 0).ok().map(bytemuck::cast)
    }

    pub(super) fn slot(&self, index: u32) -> Result<Slot> {
        let word = self.rings.get(&index, 0).with_context(|| format!("read slot {index}"))?;
        Ok(bytemuck::cast(word))
    }

    /// The first and the last slot of a service; `None` while it is not published.
    fn ends(&self, (vip, port): (Ipv4Addr, u16)) -> Option<(u32, u32)> {
        let service = self.service(vip, port).filter(|service| service.ring_size > 0)?;
        Some((service.ring_first, service.ring_first + service.ring_size - 1))
    }

    /// Whether the ring of a service has owners. It is written from its first slot to its last.
    pub(super) fn has_owners(&self, address: (Ipv4Addr, u16)) -> bool {
        let Some((_, last)) = self.ends(address) else { return false };
        self.slot(last).is_ok_and(|slot| slot.current != MemberId::NOBODY)
    }

    /// Who gets the new flows of each slot, of each of the services with these numbers.
    pub(super) fn owners(&self, plan: Plan, services: &[u32]) -> Result<Vec<(u32, MemberId)>> {
        let mut owners = Vec::new();
        let addresses: Vec<_> = plan.addresses().collect();
        for service in services {
            let (first, last) =
                self.ends(addresses[*service as usize]).context("the service is published")?;
            for index in first..=last {
                owners.push((index, self.slot(index)?.current));
            }
        }
        Ok(owners)
    }
}
