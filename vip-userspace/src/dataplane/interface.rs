//! Network interfaces of the caller's network namespace, and the XDP program on each: one question to the kernel at a
//! time, over netlink. It changes nothing.

use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkExtentMask, LinkMessage, LinkXdp, XdpAttached},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::model::Mode;

/// Length of the longest interface name, in bytes (`IFNAMSIZ` has a NUL).
const MAX_NAME: usize = 15;

/// A network interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The XDP program on it.
    pub xdp: Option<Attached>,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attached {
    /// How it is attached. An offloaded program counts as native.
    pub mode: Mode,
    /// The program's id.
    pub program: u32,
}

/// The interface of a name.
///
/// # Errors
/// The kernel can't be asked.
pub fn by_name(name: &str) -> io::Result<Option<Interface>> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Ok(None);
    }
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    one(message)
}

/// The interface with an index.
///
/// # Errors
/// The kernel can't be asked.
pub fn by_index(index: u32) -> io::Result<Option<Interface>> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    one(message)
}

/// The largest index that an interface has.
///
/// # Errors
/// The kernel can't be asked.
pub fn largest_index() -> io::Result<u32> {
    let all = ask(LinkMessage::default(), NLM_F_DUMP)?;
    Ok(all.iter().map(|interface| interface.index).max().unwrap_or_default())
}

fn one(message: LinkMessage) -> io::Result<Option<Interface>> {
    match ask(message, 0) {
        Ok(found) => Ok(found.into_iter().next()),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

fn ask(mut question: LinkMessage, flags: u16) -> io::Result<Vec<Interface>> {
    question.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let payload = NetlinkPayload::from(RouteNetlinkMessage::GetLink(question));
    let mut request = NetlinkMessage::new(header, payload);
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    let mut found = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        if !read_answer(&datagram, &mut found)? || flags & NLM_F_DUMP == 0 {
            return Ok(found);
        }
    }
}

/// Reads one datagram; false at the end of a dump.
fn read_answer(mut datagram: &[u8], found: &mut Vec<Interface>) -> io::Result<bool> {
    while !datagram.is_empty() {
        let message: NetlinkMessage<RouteNetlinkMessage> =
            NetlinkMessage::deserialize(datagram).map_err(io::Error::other)?;
        let len = (message.header.length as usize).next_multiple_of(4);
        match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => found.push(interface(link)),
            NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
            NetlinkPayload::Done(_) => return Ok(false),
            _ => {}
        }
        datagram = datagram.get(len..).unwrap_or_default();
    }
    Ok(true)
}

fn interface(link: LinkMessage) -> Interface {
    let mut interface = Interface { index: link.header.index, name: String::new(), xdp: None };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = name,
            LinkAttribute::Xdp(xdp) => interface.xdp = attached(&xdp),
            _ => {}
        }
    }
    interface
}

fn attached(attributes: &[LinkXdp]) -> Option<Attached> {
    let (mut mode, mut program) = (None, None);
    for attribute in attributes {
        match attribute {
            LinkXdp::Attached(XdpAttached::SocketBuffer) => mode = Some(Mode::Generic),
            LinkXdp::Attached(XdpAttached::None) => {}
            LinkXdp::Attached(_) => mode = Some(Mode::Native),
            // One of these is told where several are attached, in hardware and in the driver.
            LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) => program = Some(*id),
            LinkXdp::SkbProgId(id) | LinkXdp::HwProgId(id) => program = program.or(Some(*id)),
            _ => {}
        }
    }
    Some(Attached { mode: mode?, program: program? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_found_by_name_and_by_index() {
        let by_name = by_name("lo").expect("ask").expect("lo");
        assert_eq!(by_index(by_name.index).expect("ask"), Some(by_name.clone()));
        assert!(largest_index().expect("ask") >= by_name.index);
    }

    #[test]
    fn an_interface_that_is_not_there_is_no_error() {
        for name in ["", "no-such-if", "a-name-that-is-far-too-long"] {
            assert_eq!(by_name(name).expect("ask"), None, "{name:?}");
        }
        assert_eq!(by_index(0x7fff_fff0).expect("ask"), None);
    }
}
