//! What interfaces and their drivers have counted, and what drives them. Which of it matters is not known here.

use std::{io, os::fd::AsFd as _};

use futures_util::StreamExt as _;
use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::{
    RouteNetlinkMessage as Message,
    address::AddressMessage,
    link::{LinkAttribute, LinkMessage},
};
use socket2::{Domain, Socket, Type};

use super::{
    NetError, ioctl,
    kernel::{Kernel, own_address, refused},
};

/// What drives an interface.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Driver {
    /// Name of the driver.
    pub name: String,
    /// Its place on the bus: `0000:3b:00.0`; empty for a device that is on none.
    pub bus: String,
}

/// What drives an interface, in the network namespace of this thread.
///
/// # Errors
/// The driver does not tell.
pub fn driver(interface: &str) -> io::Result<Driver> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let (name, bus) = ioctl::driver(socket.as_fd(), interface)?;
    Ok(Driver { name, bus: if bus == "N/A" { String::new() } else { bus } })
}

/// All that an interface's driver counts, by the driver's own names (`ethtool -S`).
///
/// # Errors
/// It counts nothing.
pub fn statistics(interface: &str) -> io::Result<Vec<(String, u64)>> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    ioctl::statistics(socket.as_fd(), interface)
}

/// Frames that found no room in an interface's rings or memory, by its index.
///
/// # Errors
/// The kernel can't be asked.
pub async fn missed(ifindex: u32) -> Result<u64, NetError> {
    let mut question = LinkMessage::default();
    question.header.index = ifindex;
    let answer = Kernel::connect()?.one(Message::GetLink(question), 0, "look at an interface").await?;
    let link = match answer {
        Ok(Some(Message::NewLink(link))) => link,
        Ok(_) => return Ok(0),
        Err(source) => return Err(refused(format!("look at interface {ifindex}"), source)),
    };
    let stats = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Stats64(stats) => Some(*stats),
        _ => None,
    });
    Ok(stats.map_or(0, |stats| stats.rx_missed_errors + stats.rx_fifo_errors))
}

/// Which interface has which address, by the interface's index.
///
/// # Errors
/// The kernel can't be asked.
pub async fn addresses_of_links() -> Result<Vec<(u32, std::net::IpAddr)>, NetError> {
    let what = "list addresses";
    let kernel = Kernel::connect()?;
    let mut answers = kernel.ask(Message::GetAddress(AddressMessage::default()), NLM_F_DUMP, what)?;
    let mut found = Vec::new();
    while let Some(answer) = answers.next().await {
        match answer.map_err(|source| refused(what.to_owned(), source))? {
            Message::NewAddress(message) => {
                found.extend(own_address(&message).map(|address| (message.header.index, address)));
            }
            _ => continue,
        }
    }
    Ok(found)
}
