//! Frames and tables in memory: the decision without a kernel.

use std::{collections::HashMap, vec::Vec};

use bytemuck::Pod;

use crate::{
    FlowKey, Frame,
    tables::{Egress, EgressId, Member, MemberId, Port, Service, ServiceKey4, ServiceKey6, Slot, Tables},
};

/// A frame in a vector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostFrame {
    /// The frame's bytes, from the destination MAC on.
    pub bytes: Vec<u8>,
    /// Interface index of the port it came in by.
    pub ingress: u32,
}

impl HostFrame {
    /// A frame of `bytes` that came in by the port with index `ingress`.
    #[must_use]
    pub fn new(bytes: &[u8], ingress: u32) -> Self {
        Self { bytes: bytes.to_vec(), ingress }
    }
}

impl Frame for HostFrame {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }

    fn read<H: Pod>(&self, at: usize) -> Option<H> {
        let end = at.checked_add(size_of::<H>())?;
        self.bytes.get(at..end).map(bytemuck::pod_read_unaligned)
    }

    fn write<H: Pod>(&mut self, at: usize, header: H) -> Option<()> {
        let end = at.checked_add(size_of::<H>())?;
        self.bytes.get_mut(at..end)?.copy_from_slice(bytemuck::bytes_of(&header));
        Some(())
    }

    fn resize(&mut self, len: usize) -> Option<()> {
        self.bytes.resize(len, 0);
        Some(())
    }
}

/// Tables in memory, with the shapes of those in the kernel.
#[derive(Clone, Default, Debug)]
pub struct HostTables {
    /// `PORTS` by interface index.
    pub ports: HashMap<u32, Port>,
    /// `VIPS`: which of the [`VIP_BITS`](crate::tables::VIP_BITS) are set.
    pub vip_bits: HashMap<u32, bool>,
    /// `SERVICES4`.
    pub services4: HashMap<ServiceKey4, Service>,
    /// `SERVICES6`.
    pub services6: HashMap<ServiceKey6, Service>,
    /// `FLOW_KEY`.
    pub flow_key: Option<FlowKey>,
    /// `RINGS`.
    pub rings: Vec<Slot>,
    /// `MEMBERS` by id.
    pub members: HashMap<MemberId, Member>,
    /// `EGRESSES` by id.
    pub egresses: HashMap<EgressId, Egress>,
}

impl Tables for HostTables {
    fn port(&self, ifindex: u32) -> Option<Port> {
        self.ports.get(&ifindex).copied()
    }

    fn may_be_vip(&self, bit: u32) -> bool {
        self.vip_bits.get(&bit).copied().unwrap_or_default()
    }

    fn service4(&self, key: &ServiceKey4) -> Option<&Service> {
        self.services4.get(key)
    }

    fn service6(&self, key: &ServiceKey6) -> Option<&Service> {
        self.services6.get(key)
    }

    fn flow_key(&self) -> Option<&FlowKey> {
        self.flow_key.as_ref()
    }

    fn slot(&self, index: u32) -> Option<Slot> {
        self.rings.get(index as usize).copied()
    }

    fn member(&self, id: MemberId) -> Option<Member> {
        self.members.get(&id).copied()
    }

    fn egress(&self, id: EgressId) -> Option<&Egress> {
        self.egresses.get(&id)
    }
}
