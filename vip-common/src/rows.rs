//! The rows of what an IP packet gets, in their order, up to whom it is for. Who that is, the owner of a flow, is not
//! decided here, and nothing is forwarded.

use bytemuck::Zeroable;

use crate::{
    Frame, Tables,
    action::{Action, Reason},
    arrival::Arrival,
    echo::{self, Echo},
    family::Family,
    flow::Flow,
    headers::Icmp,
    packet::{self, Layout, MAX_EXTENSIONS, Packet, Part, Segment, is_extension},
    tables::{MemberId, Service, Station},
};

/// What the rows say of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Row {
    /// Its case's `action`.
    Gets,
    /// It is to its case's `service`.
    To,
    /// It is to no service, and answered so.
    Refused,
    /// It is an ICMP error: what it quotes must be read.
    Error,
    /// It is an echo request that is to be answered.
    Echo,
    /// It was read: its row is to be found.
    Read,
    /// It was read up to an IPv6 extension header.
    Extended,
}

/// A packet, and what was found out about it. Its parts are aligned as the kernel's verifier wants its stack to be.
#[repr(C, align(8))]
pub struct Case<Address> {
    /// The service; its ring may be another one.
    pub(crate) service: Service,
    /// The packet. Its flow is the one that it is placed by: of an ICMP error the one that it is about, of what says of no
    /// port that of the addresses.
    pub(crate) packet: Packet<Address>,
    pub(crate) action: Action,
    /// The member of its first fragment, or nobody.
    pub(crate) found: MemberId,
    /// The flow is the packet's own, and may be remembered.
    pub(crate) remembered: bool,
    /// Another director sent it, to a service that has such members.
    pub(crate) from_peer: bool,
    /// It has no hops left.
    expired: bool,
    /// Its source is an address of the director's own, and it is not the box that sent it just now.
    own: bool,
    pub(crate) about: About,
}

impl<Address: Zeroable> Case<Address> {
    /// Nothing is known yet.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self {
            action: Action::pass(Reason::NotForUs),
            service: Service::zeroed(),
            packet: Packet::unread(),
            remembered: false,
            from_peer: false,
            found: MemberId::NOBODY,
            expired: false,
            own: false,
            about: About::Itself,
        }
    }

    #[inline(always)]
    fn gets(&mut self, action: Action) -> Row {
        self.action = action;
        Row::Gets
    }

    /// Whether an extension header of the packet is next.
    #[inline(always)]
    fn next_header<I: Family>(&self) -> Row {
        if I::EXTENDS && self.packet.is_extended() { Row::Extended } else { Row::Read }
    }

    /// What a first fragment gets that is too short for its headers.
    #[inline(always)]
    fn tiny_fragment(&mut self) -> Row {
        self.gets(Action::drop(if self.expired { Reason::TtlExpired } else { Reason::TinyFragment }))
    }
}

/// What a packet is about.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum About {
    /// Itself.
    Itself,
    /// An echo is asked for.
    Echo,
    /// A flow that an ICMP error quotes.
    Flow,
    /// A datagram whose first fragment was seen.
    Datagram,
}

/// Reads an IP packet for one of the port's MACs: its row, if that is clear already, or [`Row::Read`].
#[inline(always)]
pub(crate) fn read<I: Layout, F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    case: &mut Case<I::Address>,
) -> Row {
    let Some(arrival) = Arrival::of(frame, tables) else {
        return case.gets(Action::pass(Reason::NotForUs));
    };
    let Some(header) = frame.read::<I::Header>(arrival.network).filter(I::is_version) else {
        return case.gets(Action::pass(Reason::Malformed));
    };
    let (source, address) = (I::source(&header), I::destination(&header));
    if !tables.may_be_vip(I::vip_bit(address)) || I::vip(tables, address).is_none() {
        return case.gets(Action::pass(Reason::NoVip));
    }
    if source == address {
        return case.gets(Action::drop(Reason::Land));
    }
    if I::is_no_machine(source) {
        return case.gets(Action::drop(Reason::BadSource));
    }
    case.expired = I::hops(&header) <= 1;
    case.own = !arrival.port.is_inlet() && I::is_own(tables, source);
    match packet::read::<I>(arrival.network, &header) {
        Some(packet) if packet.payload <= packet.end && packet::reaches(frame, packet.end) => {
            case.packet = packet;
            case.next_header::<I>()
        }
        _ => case.gets(Action::drop(Reason::Malformed)),
    }
}

/// Looks behind one extension header of an IPv6 packet: its row, if that is clear then, [`Row::Extended`] or [`Row::Read`].
#[inline(always)]
pub(crate) fn look_behind<I: Layout, F: Frame>(frame: &F, case: &mut Case<I::Address>) -> Row {
    match case.packet.look_behind(frame) {
        Some(()) => case.next_header::<I>(),
        None if case.packet.part == Part::First => case.tiny_fragment(),
        None => case.gets(Action::drop(Reason::Malformed)),
    }
}

/// Reads the packet that an ICMP error quotes, if that is from the VIP that the error was sent to: turned round, whom it
/// was sent to is who sends the flow. True if there is one.
#[inline(always)]
pub(crate) fn read_quoted<I: Layout, F: Frame>(frame: &mut F, case: &mut Case<I::Address>) -> bool {
    let Some(packet) = quoted::<I, F>(frame, &case.packet) else { return false };
    case.packet = packet;
    case.about = About::Flow;
    true
}

/// Answers an echo request.
#[inline(always)]
pub(crate) fn answer_echo<I: Echo, F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    case: &mut Case<I::Address>,
) -> Row {
    if let (Some(arrival), Some(payload)) = (Arrival::of(frame, tables), case.packet.payload_at()) {
        case.action = echo::answer::<I, F>(frame, &arrival, payload);
    }
    Row::Gets
}

#[inline(always)]
fn quoted<I: Layout, F: Frame>(frame: &mut F, packet: &Packet<I::Address>) -> Option<Packet<I::Address>> {
    let at = packet.payload_at()? + size_of::<Icmp>();
    let header = frame.read::<I::Header>(at).filter(I::is_version)?;
    if at + size_of::<I::Header>() > packet.end || I::source(&header) != packet.flow.destination {
        return None;
    }
    let mut quote = packet::read::<I>(at, &header)?;
    // It may stop anywhere: what is behind its end, in padding, is not the quote's.
    quote.end = packet.end;
    for _ in 0..MAX_EXTENSIONS {
        if !I::EXTENDS || !quote.is_extended() || quote.look_behind(frame).is_none() {
            break;
        }
    }
    quote.unknown = I::EXTENDS && is_extension(quote.flow.protocol);
    quote.read_quoted_ports(frame);
    let flow = Flow {
        source: quote.flow.destination,
        destination: quote.flow.source,
        source_port: quote.flow.destination_port,
        destination_port: quote.flow.source_port,
        protocol: quote.flow.protocol,
    };
    Some(Packet { flow, segment: Segment::DATAGRAM, ..quote })
}

/// Reads the transport header: the packet's row, if that is clear then, [`Row::Error`] or [`Row::Read`].
#[inline(always)]
pub(crate) fn read_transport<I: Echo, F: Frame>(frame: &F, case: &mut Case<I::Address>) -> Row {
    case.packet.unknown = I::EXTENDS && is_extension(case.packet.flow.protocol);
    match case.packet.read_transport(frame) {
        Ok(()) => {}
        Err(Reason::TinyFragment) => return case.tiny_fragment(),
        Err(reason) => return case.gets(Action::drop(reason)),
    }
    let Packet { flow, part, unknown, end, .. } = case.packet;
    if flow.protocol != I::ICMP || part != Part::Whole || unknown {
        return Row::Read;
    }
    let at = case.packet.payload_at().filter(|at| at + size_of::<Icmp>() <= end);
    let Some(message) = at.and_then(|at| frame.read::<Icmp>(at)) else {
        return case.gets(Action::drop(Reason::Malformed));
    };
    if message.kind == I::REQUEST && message.code == 0 {
        case.about = About::Echo;
    }
    if I::is_error(message.kind) { Row::Error } else { Row::Read }
}

/// The row of a packet that was read.
#[inline(always)]
pub(crate) fn row_of<I: Family, F: Frame, T: Tables>(
    frame: &F,
    tables: &T,
    case: &mut Case<I::Address>,
) -> Row {
    let Some(arrival) = Arrival::of(frame, tables) else {
        return case.gets(Action::pass(Reason::NotForUs));
    };
    let Some(vip) = I::vip(tables, case.packet.flow.destination) else {
        return case.gets(Action::pass(Reason::NoVip));
    };
    // An echo is the VIP's affair, on its own terms: no service takes it.
    let service = service_of::<I, T>(tables, vip, &case.packet).filter(|_| case.about != About::Echo);
    let follows = case.about == About::Datagram;
    let terms = if follows { &case.service } else { service.unwrap_or(vip) };
    if case.expired && !terms.has(Service::KEEP_TTL) {
        return case.gets(Action::drop(Reason::TtlExpired));
    }
    if case.own {
        let station = tables.station(arrival.source);
        return case.gets(Action::bounced(station.map_or(MemberId::NOBODY, |station| station.member)));
    }
    if case.about == About::Echo && !vip.has(Service::FORWARDS_ECHO) {
        case.action = Action::drop(Reason::NoBackend);
        return if vip.has(Service::ANSWERS_ECHO) { Row::Echo } else { Row::Gets };
    }
    if follows {
        return after_first(case);
    }
    to_service::<I, T>(tables, &arrival, vip, service, case)
}

/// The row of a later fragment whose first one was seen: it goes after that.
#[inline(always)]
fn after_first<Address: Zeroable>(case: &mut Case<Address>) -> Row {
    if case.found != MemberId::NOBODY {
        case.action = Action::pass(Reason::Forwarded);
        return Row::To;
    }
    let is_local = case.service.has(Service::LOCAL);
    case.gets(Action::pass(if is_local { Reason::LocalVip } else { Reason::ChosenByPeer }))
}

/// The row of a packet to a service, if there is one that takes it.
#[inline(always)]
fn to_service<I: Family, T: Tables>(
    tables: &T,
    arrival: &Arrival,
    vip: &Service,
    service: Option<&Service>,
    case: &mut Case<I::Address>,
) -> Row {
    let (packet, about) = (&mut case.packet, case.about);
    // What says of no port is to no service in particular: the VIP's own ring places it.
    let is_portless = about == About::Echo
        || packet.part == Part::Later
        || packet.unknown
        || (about == About::Flow && !packet.has_ports);
    case.service = match service {
        Some(service) => *service,
        _ if is_portless => *vip,
        _ if vip.has(Service::LOCAL) => {
            case.service = *vip;
            return case.gets(Action::pass(Reason::LocalVip));
        }
        _ if vip.has(Service::RESETS) && about == About::Itself => return Row::Refused,
        _ => return case.gets(Action::drop(Reason::UnknownPort)),
    };
    let service = &mut case.service;
    let mut reason = Reason::Forwarded;
    let by_addresses = service.has(Service::BY_ADDRESSES);
    if packet.part == Part::Later && about == About::Itself && !by_addresses {
        reason = Reason::FragmentBeforeFirst;
    }
    if about == About::Flow && !packet.has_ports {
        reason = Reason::QuoteWithoutPorts;
    }
    if by_addresses || !packet.has_ports {
        // Where later fragments may not know their protocol, it makes no difference for the first one.
        let no_protocol = packet.unknown || (by_addresses && I::EXTENDS);
        let protocol = if no_protocol { 0 } else { packet.flow.protocol };
        packet.flow = Flow::by_addresses(packet.flow.source, packet.flow.destination, protocol);
    }
    // An error is answered by none, whatever it quotes.
    packet.has_ports &= about == About::Itself;
    // By addresses a later fragment may be the first one that comes, and the first one goes after it.
    case.remembered = about == About::Itself && (packet.part != Part::Later || by_addresses);
    case.from_peer = service.has(Service::PEERS) && is_director(tables.station(arrival.source));
    if case.from_peer {
        // Another director chose this box as a member; else it goes to members that are no directors, or it would go
        // round.
        if service.has(Service::HERE) {
            return case.gets(Action::pass(Reason::ChosenByPeer));
        }
        if service.peers_first == 0 {
            return case.gets(Action::drop(Reason::PeerLoop));
        }
        service.ring_first = service.peers_first;
        service.flags &= !Service::TAKES_TURNS;
        case.remembered = false;
    }
    case.action = Action::pass(reason);
    Row::To
}

#[inline(always)]
pub(crate) fn is_director(station: Option<&Station>) -> bool {
    station.is_some_and(|station| station.flags & Station::DIRECTOR != 0)
}

/// The service that a packet is to: the one of exactly its port, else one of many ports. A later fragment does not say its
/// port: it is to the service that takes such packets of its protocol.
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
