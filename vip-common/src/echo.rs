//! Echo requests for a VIP, answered by the director: the VIP answers pings while a service of it has a backend.

use crate::{
    Frame,
    action::{Action, Reason},
    arrival::Arrival,
    checksum::fold,
    family::{Family, V4, V6},
    headers::{Icmp, Ipv4, Ipv6},
    reset::HOPS,
};

/// How the two families say and answer echo requests.
pub trait Echo: Family {
    /// `kind` of a request.
    const REQUEST: u8;
    /// Types that report errors.
    fn is_error(kind: u8) -> bool;
    /// Writes the IP header's side of an answer at `at`: addresses swapped, hops anew.
    fn turn_round<F: Frame>(frame: &mut F, at: usize) -> Option<()>;
    /// Kind and checksum of the reply to `request`.
    fn reply(request: &Icmp) -> ([u8; 2], [u8; 2]);
}

/// Answers an echo request whose ICMP header stands at `payload`.
#[inline(always)]
pub(crate) fn answer<I: Echo, F: Frame>(frame: &mut F, arrival: &Arrival, payload: usize) -> Action {
    let Some(request) = frame.read::<Icmp>(payload) else {
        return Action::drop(Reason::Malformed);
    };
    let (kind, checksum) = I::reply(&request);
    let written = arrival
        .send_back(frame)
        .and_then(|()| I::turn_round(frame, arrival.network))
        .and_then(|()| frame.write(payload, [kind, checksum]));
    match written {
        Some(()) => Action::answer(Reason::EchoAnswered),
        None => Action::drop(Reason::Malformed),
    }
}

impl Echo for V4 {
    const REQUEST: u8 = Icmp::ECHO_REQUEST4;

    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        // Destination unreachable, time exceeded, parameter problem.
        matches!(kind, 3 | 11 | 12)
    }

    #[inline(always)]
    fn turn_round<F: Frame>(frame: &mut F, at: usize) -> Option<()> {
        let ip = frame.read::<Ipv4>(at)?;
        // Swapped addresses leave the sum as it is; of the TTL's word only the upper byte changes (RFC 1624, equation 3).
        let sum = u32::from(!u16::from_be_bytes(ip.checksum))
            + u32::from(!u16::from_be_bytes([ip.ttl, ip.protocol]))
            + u32::from(u16::from_be_bytes([HOPS, ip.protocol]));
        frame.write(at + 8, [HOPS])?;
        frame.write(at + 10, (!fold(sum)).to_be_bytes())?;
        frame.write(at + 12, [ip.destination, ip.source])
    }

    #[inline(always)]
    fn reply(request: &Icmp) -> ([u8; 2], [u8; 2]) {
        // The type's word is less by the type, so the checksum is more. Of zero's two forms this leaves 0xffff, which is right
        // for every message, also for one that is all zeros.
        let sum = u32::from(u16::from_be_bytes(request.checksum)) + (u32::from(Icmp::ECHO_REQUEST4) << 8);
        ([Icmp::ECHO_REPLY4, request.code], fold(sum).to_be_bytes())
    }
}

impl Echo for V6 {
    const REQUEST: u8 = Icmp::ECHO_REQUEST6;

    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        matches!(kind, 1..=4)
    }

    #[inline(always)]
    fn turn_round<F: Frame>(frame: &mut F, at: usize) -> Option<()> {
        let ip = frame.read::<Ipv6>(at)?;
        frame.write(at + 7, [HOPS])?;
        frame.write(at + 8, [ip.destination, ip.source])
    }

    #[inline(always)]
    fn reply(request: &Icmp) -> ([u8; 2], [u8; 2]) {
        let sum = u32::from(!u16::from_be_bytes(request.checksum)) + 0x0100;
        ([Icmp::ECHO_REPLY6, request.code], (!fold(sum)).to_be_bytes())
    }
}
