//! The rows of what an IP packet gets, in their order, up to whom it is for. Who that is, the owner of a flow, is not
//! decided here, and nothing is forwarded.

use crate::{
    Frame, Tables,
    action::{Action, Reason},
    arrival::Arrival,
    echo::{self, Echo},
    family::Family,
    flow::Flow,
    headers::Icmp,
    packet::{self, Layout, Packet, Part, Segment},
    reset::Refused,
    tables::{FragmentId, MemberId, Service, Station},
};

/// What the rows say of a packet.
pub(crate) enum Row<'t, Address> {
    /// This.
    Gets(Action),
    /// It is to this service.
    To(Route<'t, Address>),
    /// Nobody takes it, which is answered.
    Refused(Packet<Address>, Refused),
}

/// By what a packet is placed in a service.
pub(crate) struct Route<'t, Address> {
    pub(crate) service: &'t Service,
    /// The first slot of the ring.
    pub(crate) ring_first: u32,
    /// The packet itself.
    pub(crate) packet: Packet<Address>,
    /// The flow that it belongs to, or is about.
    pub(crate) flow: Flow<Address>,
    pub(crate) segment: Segment,
    /// The flow is the packet's own, and may be remembered.
    pub(crate) remembered: bool,
    /// The member of its first fragment, or nobody.
    pub(crate) found: MemberId,
    /// What is counted beside the member.
    pub(crate) reason: Reason,
}

/// The row of an IP packet for one of the port's MACs.
///
/// Not inlined: it shares the kernel's stack with who hands the packet over, one after the other.
#[inline(never)]
pub(crate) fn row_of<'t, I: Layout + Echo, F: Frame, T: Tables>(
    frame: &mut F,
    tables: &'t T,
    arrival: &Arrival,
) -> Row<'t, I::Address> {
    let Some(header) = frame.read::<I::Header>(arrival.network).filter(I::is_version) else {
        return Row::Gets(Action::pass(Reason::Malformed));
    };
    let (source, address) = (I::source(&header), I::destination(&header));
    if !tables.may_be_vip(I::vip_bit(address)) {
        return Row::Gets(Action::pass(Reason::NoVip));
    }
    let Some(vip) = I::vip(tables, address) else {
        return Row::Gets(Action::pass(Reason::NoVip));
    };
    if source == address {
        return Row::Gets(Action::drop(Reason::Land));
    }
    if I::is_no_machine(source) {
        return Row::Gets(Action::drop(Reason::BadSource));
    }
    let expired = I::hops(&header) <= 1;
    let packet = match packet::read::<I, F>(frame, arrival.network, &header, None) {
        Ok(packet) => packet,
        Err(Reason::TinyFragment) if expired => return Row::Gets(Action::drop(Reason::TtlExpired)),
        Err(reason) => return Row::Gets(Action::drop(reason)),
    };
    let service = service_of::<I, T>(tables, vip, &packet);
    if expired && !service.unwrap_or(vip).has(Service::KEEP_TTL) {
        return Row::Gets(Action::drop(Reason::TtlExpired));
    }
    if I::is_own(tables, source) {
        let station = tables.station(arrival.source);
        return Row::Gets(Action::bounced(station.map_or(MemberId::NOBODY, |station| station.member)));
    }
    Case { frame, tables, arrival }.row::<I>(vip, service, &packet)
}

/// A packet to a VIP.
struct Case<'a, 't, F: Frame, T: Tables> {
    frame: &'a mut F,
    tables: &'t T,
    arrival: &'a Arrival,
}

impl<'t, F: Frame, T: Tables> Case<'_, 't, F, T> {
    /// The row of a packet to a VIP that is sound and has hops left.
    #[inline(always)]
    fn row<I: Layout + Echo>(
        &mut self,
        vip: &'t Service,
        service: Option<&'t Service>,
        packet: &Packet<I::Address>,
    ) -> Row<'t, I::Address> {
        if packet.flow.protocol == I::ICMP && packet.part == Part::Whole && !packet.unknown {
            if let Some(row) = self.icmp::<I>(vip, packet) {
                return row;
            }
        }
        match service {
            Some(service) => self.to_service::<I>(service, packet),
            None if packet.part == Part::Later || packet.unknown => {
                Row::To(self.by_addresses::<I>(vip, packet, Reason::Forwarded))
            }
            None if vip.has(Service::LOCAL) => Row::Gets(Action::pass(Reason::LocalVip)),
            None if vip.has(Service::RESETS) => {
                let answered = Reason::ResetUnknownPort;
                Row::Refused(*packet, Refused { answered, dropped: Reason::UnknownPort })
            }
            None => Row::Gets(Action::drop(Reason::UnknownPort)),
        }
    }

    /// The row of an unfragmented ICMP message, where that is not that of other protocols.
    #[inline(always)]
    fn icmp<I: Layout + Echo>(
        &mut self,
        vip: &'t Service,
        packet: &Packet<I::Address>,
    ) -> Option<Row<'t, I::Address>> {
        let Some(icmp) = self.frame.read::<Icmp>(packet.payload).filter(|_| packet.payload + 8 <= packet.end)
        else {
            return Some(Row::Gets(Action::drop(Reason::Malformed)));
        };
        if icmp.kind == I::REQUEST && icmp.code == 0 {
            return Some(if vip.has(Service::FORWARDS_ECHO) {
                Row::To(self.by_addresses::<I>(vip, packet, Reason::Forwarded))
            } else if vip.has(Service::ANSWERS_ECHO) {
                Row::Gets(echo::answer::<I, F>(self.frame, self.arrival, packet.payload, &icmp))
            } else {
                Row::Gets(Action::drop(Reason::NoBackend))
            });
        }
        if I::is_error(icmp.kind) {
            self.error::<I>(vip, packet).map(|route| Row::To(Route { packet: *packet, ..route }))
        } else {
            None
        }
    }

    /// An ICMP error goes to the owner of the flow that it is about; `None` if it is about no flow of a service.
    #[inline(always)]
    fn error<I: Layout>(
        &mut self,
        vip: &'t Service,
        packet: &Packet<I::Address>,
    ) -> Option<Route<'t, I::Address>> {
        let at = packet.payload + size_of::<Icmp>();
        let quoted = self.frame.read::<I::Header>(at)?;
        if at + size_of::<I::Header>() > packet.end
            || !I::is_version(&quoted)
            || I::source(&quoted) != packet.flow.destination
        {
            return None;
        }
        let quote = packet::read::<I, F>(self.frame, at, &quoted, Some(packet.end)).ok()?;
        // Whom the quote was sent to is who sent the flow.
        let flow = Flow {
            source: quote.flow.destination,
            destination: quote.flow.source,
            source_port: quote.flow.destination_port,
            destination_port: quote.flow.source_port,
            protocol: quote.flow.protocol,
        };
        let about = Packet { flow, segment: Segment::DATAGRAM, ..quote };
        let service = service_of::<I, T>(self.tables, vip, &about);
        if !about.has_ports {
            return Some(self.by_addresses::<I>(service.unwrap_or(vip), &about, Reason::QuoteWithoutPorts));
        }
        let service = service?;
        if service.has(Service::BY_ADDRESSES) {
            return Some(self.by_addresses::<I>(service, &about, Reason::Forwarded));
        }
        Some(Route { remembered: false, ..route(service, &about) })
    }

    /// The row of a packet to a service.
    #[inline(always)]
    fn to_service<I: Family>(
        &self,
        service: &'t Service,
        packet: &Packet<I::Address>,
    ) -> Row<'t, I::Address> {
        let by_port = packet.has_ports && !service.has(Service::BY_ADDRESSES);
        let route = if packet.part == Part::Later {
            self.by_addresses::<I>(service, packet, Reason::Forwarded)
        } else if by_port {
            route(service, packet)
        } else {
            Route { flow: placed_by_addresses(packet), ..route(service, packet) }
        };
        if !service.has(Service::PEERS) || !self.is_from_director() {
            return Row::To(route);
        }
        // Another director chose this box as a member; else it goes to members that are no directors, or it would go
        // round.
        if service.has(Service::HERE) {
            return Row::Gets(Action::pass(Reason::ChosenByPeer));
        }
        if service.peers_first == 0 {
            return Row::Gets(Action::drop(Reason::PeerLoop));
        }
        Row::To(Route { ring_first: service.peers_first, remembered: false, ..route })
    }

    /// The route of a packet that does not say its port. A later fragment goes after its first one, if that was seen.
    #[inline(always)]
    fn by_addresses<I: Family>(
        &self,
        service: &'t Service,
        packet: &Packet<I::Address>,
        reason: Reason,
    ) -> Route<'t, I::Address> {
        let is_fragment = packet.part == Part::Later && reason as u32 == Reason::Forwarded as u32;
        let found = if is_fragment {
            self.tables.fragment(&fragment_id::<I>(packet), self.tables.clock())
        } else {
            MemberId::NOBODY
        };
        let lost_first = is_fragment && found == MemberId::NOBODY && !service.has(Service::BY_ADDRESSES);
        let reason = if lost_first { Reason::FragmentBeforeFirst } else { reason };
        let flow = placed_by_addresses(packet);
        let segment = Segment::DATAGRAM;
        Route { flow, segment, remembered: false, found, reason, ..route(service, packet) }
    }

    #[inline(always)]
    fn is_from_director(&self) -> bool {
        let station = self.tables.station(self.arrival.source);
        station.is_some_and(|station| station.flags & Station::DIRECTOR != 0)
    }
}

/// The route of a packet by its own flow.
#[inline(always)]
fn route<'t, Address: Copy>(service: &'t Service, packet: &Packet<Address>) -> Route<'t, Address> {
    Route {
        service,
        ring_first: service.ring_first,
        packet: *packet,
        flow: packet.flow,
        segment: packet.segment,
        remembered: true,
        found: MemberId::NOBODY,
        reason: Reason::Forwarded,
    }
}

/// The datagram of a fragment.
#[inline(always)]
pub(crate) fn fragment_id<I: Family>(packet: &Packet<I::Address>) -> FragmentId {
    I::fragment_id(packet.flow.source, packet.flow.destination, packet.id, packet.flow.protocol)
}

/// The flow that all packets of a protocol between two addresses make; of an unknown protocol, all packets.
#[inline(always)]
fn placed_by_addresses<Address: Copy>(packet: &Packet<Address>) -> Flow<Address> {
    let protocol = if packet.unknown { 0 } else { packet.flow.protocol };
    Flow::by_addresses(packet.flow.source, packet.flow.destination, protocol)
}

/// The service that a packet is to: the one of exactly its port, else one of many ports. A packet that does not say its
/// port is to the service that takes such packets of its protocol.
#[inline(always)]
fn service_of<'t, I: Family, T: Tables>(
    tables: &'t T,
    vip: &Service,
    packet: &Packet<I::Address>,
) -> Option<&'t Service> {
    let Flow { destination, destination_port, protocol, .. } = packet.flow;
    if packet.unknown {
        return None;
    }
    let port = packet.has_ports.then_some(destination_port);
    // Under port 0 there is the service that takes what says of no port; what says 0 is to no service of one port.
    let says_no_port = !packet.has_ports && packet.part == Part::Later;
    if says_no_port || (packet.has_ports && destination_port != [0; 2]) {
        let exact = I::service(tables, destination, destination_port, protocol);
        if exact.is_some() {
            return exact;
        }
    }
    if vip.has(Service::WIDE) { I::wide(tables, destination, port, protocol) } else { None }
}
