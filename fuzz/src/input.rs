//! The inputs of the fuzzer: a stream of records, each of which writes an entry of a table or sends a frame. Any bytes
//! are a stream. Decides how records are written, not what they should contain.

use bytemuck::{AnyBitPattern, NoUninit, Zeroable};
use vip_common::{
    FlowKey, MemberId,
    headers::Mac,
    host::{HostFrame, HostTables, SharedFlow},
    tables::{
        Egress, EgressId, FlowEntry, FlowId4, FlowId6, FragmentId, FragmentOwner, MemberEntry, Port, Service,
        ServiceKey4, ServiceKey6, Slot, Station, Terms, VIP_BITS, WideKey4, WideKey6, own_bit4, own_bit6,
        vip_bit4, vip_bit6,
    },
};

/// `RINGS` is no longer than this, in slots: longer ones only cost time.
const RINGS: usize = 4096;

/// Ids of members are below this; no table has more.
const MEMBERS: u32 = 1 << 30;

/// One step of an input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// `PORTS[index]`.
    Port(u8, Port),
    /// One bit of `VIPS`, which a service sets by itself.
    VipBit(u16, bool),
    /// An IPv4 service, or a VIP's own entry.
    Service4(ServiceKey4, Service),
    /// An IPv6 service, or a VIP's own entry.
    Service6(ServiceKey6, Service),
    /// So many slots of `RINGS`, from an index on.
    Slots(u16, u8, Slot),
    /// A member.
    Member(MemberId, MemberEntry),
    /// A way out.
    Egress(EgressId, Egress),
    /// The secret of the flow hash is made of this number; 0: there is none.
    FlowKey(u64),
    /// An IPv4 service of many ports.
    Wide4(WideKey4, Service),
    /// An IPv6 service of many ports.
    Wide6(WideKey6, Service),
    /// Whose a MAC is.
    Station(Mac, Station),
    /// The terms of a service.
    Terms(u32, Terms),
    /// A flow over IPv4.
    Flow4(FlowId4, FlowEntry),
    /// A flow over IPv6.
    Flow6(FlowId6, FlowEntry),
    /// The first fragment of a datagram.
    Fragment(FragmentId, FragmentOwner),
    /// So much time passes, in units of 2²⁰ ns, about a millisecond.
    Clock(u32),
    /// A frame comes in by the port with this interface index.
    Frame(u8, Vec<u8>),
}

/// Reads a stream to its end: what makes no record is passed over.
#[must_use]
pub fn decode(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        records.extend(Record::take(&mut bytes));
    }
    records
}

/// Writes a stream.
#[must_use]
pub fn encode(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        record.put(&mut bytes);
    }
    bytes
}

impl Record {
    /// Reads one record; `None` if the bytes end in it, or it has no such kind.
    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(match field::<u8>(from)? {
            0 => Self::Frame(field(from)?, frame(from)?),
            1 => Self::Port(field(from)?, field(from)?),
            2 => Self::VipBit(field(from)?, field::<u8>(from)? & 1 != 0),
            3 => Self::Service4(field(from)?, field(from)?),
            4 => Self::Service6(field(from)?, field(from)?),
            5 => Self::Slots(field(from)?, field(from)?, field(from)?),
            6 => Self::Member(field(from)?, field(from)?),
            7 => Self::Egress(field(from)?, field(from)?),
            8 => Self::FlowKey(field(from)?),
            9 => Self::Wide4(field(from)?, field(from)?),
            10 => Self::Wide6(field(from)?, field(from)?),
            11 => Self::Station(field(from)?, field(from)?),
            12 => Self::Terms(field(from)?, field(from)?),
            13 => Self::Flow4(field(from)?, field(from)?),
            14 => Self::Flow6(field(from)?, field(from)?),
            15 => Self::Fragment(field(from)?, field(from)?),
            16 => Self::Clock(field(from)?),
            _ => return None,
        })
    }

    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Frame(ingress, bytes) => {
                let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
                put(to, 0, (*ingress, len));
                to.extend(&bytes[..len.into()]);
            }
            Self::Port(index, port) => put(to, 1, (*index, *port)),
            Self::VipBit(bit, set) => put(to, 2, (*bit, u8::from(*set))),
            Self::Service4(key, service) => put(to, 3, (*key, *service)),
            Self::Service6(key, service) => put(to, 4, (*key, *service)),
            Self::Slots(first, count, slot) => {
                put(to, 5, (*first, *count));
                to.extend(bytemuck::bytes_of(slot));
            }
            Self::Member(id, member) => put(to, 6, (*id, *member)),
            Self::Egress(id, egress) => put(to, 7, (*id, *egress)),
            Self::FlowKey(seed) => put(to, 8, (*seed, ())),
            Self::Wide4(key, service) => put(to, 9, (*key, *service)),
            Self::Wide6(key, service) => put(to, 10, (*key, *service)),
            Self::Station(mac, station) => put(to, 11, (*mac, *station)),
            Self::Terms(service, terms) => put(to, 12, (*service, *terms)),
            Self::Flow4(id, flow) => put(to, 13, (*id, *flow)),
            Self::Flow6(id, flow) => put(to, 14, (*id, *flow)),
            Self::Fragment(id, owner) => put(to, 15, (*id, *owner)),
            Self::Clock(milliseconds) => put(to, 16, (*milliseconds, ())),
        }
    }

    /// Writes the entry into `tables`; a frame is handed back.
    pub fn apply(self, tables: &mut HostTables) -> Option<HostFrame> {
        match self {
            Self::Frame(ingress, bytes) => return Some(HostFrame::new(&bytes, ingress.into())),
            Self::Port(index, port) => drop(tables.ports.insert(index.into(), port)),
            Self::VipBit(bit, set) => drop(tables.vip_bits.insert(u32::from(bit) % VIP_BITS, set)),
            Self::Service4(key, service) => {
                let bit = if key == ServiceKey4::own(key.vip) { own_bit4 } else { vip_bit4 };
                tables.vip_bits.insert(bit(key.vip), true);
                tables.services4.insert(key, service);
            }
            Self::Service6(key, service) => {
                let bit = if key == ServiceKey6::own(key.vip) { own_bit6 } else { vip_bit6 };
                tables.vip_bits.insert(bit(key.vip), true);
                tables.services6.insert(key, service);
            }
            Self::Slots(first, count, slot) => set_slots(&mut tables.rings, first, count, slot),
            Self::Member(id, member) => drop(tables.members.insert(MemberId(id.0 % MEMBERS), member)),
            Self::Egress(id, egress) => drop(tables.egresses.insert(id, egress)),
            Self::FlowKey(seed) => tables.flow_key = (seed != 0).then(|| flow_key(seed)),
            Self::Wide4(key, service) => drop(tables.wide4.insert(key, service)),
            Self::Wide6(key, service) => drop(tables.wide6.insert(key, service)),
            Self::Station(mac, station) => drop(tables.stations.insert(mac, station)),
            Self::Terms(service, terms) => drop(tables.terms.insert(service, terms)),
            Self::Flow4(id, flow) => drop(tables.flows4.get_mut().insert(id, SharedFlow::new(flow))),
            Self::Flow6(id, flow) => drop(tables.flows6.get_mut().insert(id, SharedFlow::new(flow))),
            Self::Fragment(id, owner) => drop(tables.fragments.get_mut().insert(id, owner)),
            Self::Clock(milliseconds) => {
                let later = tables.now.get().wrapping_add(u64::from(milliseconds) << 20);
                tables.now.set(later);
            }
        }
        None
    }
}

fn set_slots(rings: &mut Vec<Slot>, first: u16, count: u8, slot: Slot) {
    let first = usize::from(first) % RINGS;
    let end = (first + usize::from(count)).min(RINGS);
    if rings.len() < end {
        rings.resize(end, Slot::zeroed());
    }
    rings[first..end].fill(slot);
}

fn flow_key(seed: u64) -> FlowKey {
    let mut coefficient = seed;
    FlowKey {
        coefficients: [(); 11].map(|()| {
            coefficient = coefficient.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            coefficient
        }),
    }
}

fn field<T: AnyBitPattern>(from: &mut &[u8]) -> Option<T> {
    let (field, rest) = from.split_at_checked(size_of::<T>()).or_else(|| {
        *from = &[];
        None
    })?;
    *from = rest;
    Some(bytemuck::pod_read_unaligned(field))
}

/// A frame that claims to be longer than the stream ends with it.
fn frame(from: &mut &[u8]) -> Option<Vec<u8>> {
    let len: u16 = field(from)?;
    let (frame, rest) = from.split_at(from.len().min(len.into()));
    *from = rest;
    Some(frame.to_vec())
}

fn put<A: NoUninit, B: NoUninit>(to: &mut Vec<u8>, kind: u8, (first, second): (A, B)) {
    to.push(kind);
    to.extend(bytemuck::bytes_of(&first));
    to.extend(bytemuck::bytes_of(&second));
}

#[cfg(test)]
mod tests {
    use vip_common::tables::Member;

    use super::*;

    fn records() -> Vec<Record> {
        let service = Service { ring_first: 1, ring_size: 7, flags: 1, id: 9, ..Service::zeroed() };
        let member = Member { mac: [2; 6], egress: EgressId(1), state: Member::UP };
        vec![
            Record::Port(1, Port { mac: [2, 0, 0, 0, 0, 1], router: 0, flags: 0 }),
            Record::VipBit(513, true),
            Record::Service4(ServiceKey4::vip([10, 200, 0, 1]), service),
            Record::Service6(ServiceKey6::vip([0xfd; 16]), service),
            Record::Slots(1, 7, Slot::of(MemberId(3))),
            Record::Member(MemberId(3), MemberEntry::new(member, 1)),
            Record::Egress(EgressId(1), Egress::untouched(1, [2; 6])),
            Record::FlowKey(0x0102_0304_0506_0708),
            Record::Wide4(WideKey4 { bits: WideKey4::VIP, ..WideKey4::zeroed() }, service),
            Record::Wide6(WideKey6 { bits: WideKey6::VIP, ..WideKey6::zeroed() }, service),
            Record::Station([2; 6], Station { member: MemberId(3), flags: Station::DIRECTOR }),
            Record::Terms(9, Terms { period: 1, allowance: 2, idle: 3, always: 0 }),
            Record::Flow4(FlowId4::zeroed(), FlowEntry::zeroed()),
            Record::Flow6(FlowId6::zeroed(), FlowEntry::zeroed()),
            Record::Fragment(FragmentId::zeroed(), FragmentOwner::zeroed()),
            Record::Clock(2000),
            Record::Frame(1, vec![1, 2, 3]),
            Record::Frame(2, Vec::new()),
        ]
    }

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(decode(&encode(&records())), records());
    }

    #[test]
    fn a_stream_that_is_cut_off_anywhere_loses_only_its_last_record() {
        let whole = encode(&records());
        for len in 0..whole.len() {
            let read = decode(&whole[..len]);
            let sure = read.len().saturating_sub(1);
            assert_eq!(read[..sure], records()[..sure], "{len} bytes");
        }
    }
}
