//! All tables of the director, as one value: what is published, or what is wanted. Pure.

use std::{collections::BTreeMap, sync::Arc};

use vip_common::{
    FlowKey, MemberId,
    tables::{
        Egress, EgressId, Member, Port, Service, ServiceKey4, ServiceKey6, Slot, VIP_WORDS, vip_bit4,
        vip_bit6,
    },
};

/// What `PORTS`, `SERVICES4`, `SERVICES6`, `RINGS`, `MEMBERS`, `EGRESSES` and `FLOW_KEY` hold. Zero values are left
/// out. `VIPS` follows from the services.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tables {
    /// Ports by interface index.
    pub ports: BTreeMap<u32, Port>,
    /// IPv4 services, and an entry for each VIP itself.
    pub services4: BTreeMap<ServiceKey4, Service>,
    /// IPv6 services, and an entry for each VIP itself.
    pub services6: BTreeMap<ServiceKey6, Service>,
    /// The slots of each ring, by the index of its first slot. Rings do not overlap. Shared, so that a ring that has
    /// not changed is neither copied nor compared.
    pub rings: BTreeMap<u32, Arc<[Slot]>>,
    /// Members by id.
    pub members: BTreeMap<MemberId, Member>,
    /// Ways out by id.
    pub egresses: BTreeMap<EgressId, Egress>,
    /// The secret of the flow hash.
    pub flow_key: Option<FlowKey>,
}

impl Tables {
    /// The words of `VIPS`: the bit of every VIP is set.
    #[must_use]
    pub fn vip_words(&self) -> BTreeMap<u32, u64> {
        let bits4 = self.services4.keys().map(|key| vip_bit4(key.vip));
        let bits6 = self.services6.keys().map(|key| vip_bit6(key.vip));
        let mut words = BTreeMap::new();
        for bit in bits4.chain(bits6) {
            *words.entry(bit / 64).or_default() |= 1 << (bit % 64);
        }
        debug_assert!(words.keys().all(|word| *word < VIP_WORDS));
        words
    }
}
