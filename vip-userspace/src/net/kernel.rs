//! Asks the kernel about links, routes and neighbours, and has it keep neighbours resolved: one function a question.
//! What the answers mean is for others.

use std::{io, net::IpAddr};

use futures_util::{Stream, StreamExt as _};
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage as Message,
    address::{AddressAttribute, AddressMessage},
    link::LinkMessage,
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
        NeighbourState,
    },
    route::{RouteAttribute, RouteMessage, RouteProtocol},
};
use rtnetlink::Handle;
use tokio::task::AbortHandle;

use super::{
    Link, NetError,
    classify::{Care, OWNER, Own, Way, care, source, subject, way},
};
use crate::model::NoNeighbour;

/// Errors of a route look-up that are an answer (net/ipv4/fib_semantics.c, `fib_props`; net/ipv6/route.c).
const NO_ROUTE: [i32; 5] = [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL, libc::ESRCH];

/// How an address is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Route {
    pub(super) way: Result<Way, NoNeighbour>,
    /// The address of this box that packets to there come from.
    pub(super) source: Option<IpAddr>,
}

/// A connection to the kernel for questions. It ends when dropped.
#[derive(Debug)]
pub(super) struct Kernel {
    handle: Handle,
    connection: AbortHandle,
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Kernel {
    /// Connects to the kernel, in the network namespace of this thread.
    pub(super) fn connect() -> Result<Self, NetError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(NetError::Socket)?;
        Ok(Self { handle, connection: tokio::spawn(connection).abort_handle() })
    }

    /// All interfaces.
    pub(super) async fn links(&self) -> Result<Vec<Link>, NetError> {
        let what = "list interfaces";
        let mut answers = self.ask(Message::GetLink(LinkMessage::default()), NLM_F_DUMP, what)?;
        let mut links = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer.map_err(|source| refused(what.to_owned(), source))? {
                Message::NewLink(message) => links.extend(Link::read(&message)),
                _ => continue,
            }
        }
        Ok(links)
    }

    /// One interface, if it is there.
    pub(super) async fn link(&self, ifindex: u32) -> Result<Option<Link>, NetError> {
        let mut question = LinkMessage::default();
        question.header.index = ifindex;
        match self.one(Message::GetLink(question), 0, "look at an interface").await? {
            Ok(Some(Message::NewLink(message))) => Ok(Link::read(&message)),
            Ok(_) => Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(source) => Err(refused(format!("look at interface {ifindex}"), source)),
        }
    }

    /// All addresses of all interfaces.
    pub(super) async fn addresses(&self) -> Result<Vec<Own>, NetError> {
        let what = "list addresses";
        let mut answers = self.ask(Message::GetAddress(AddressMessage::default()), NLM_F_DUMP, what)?;
        let mut addresses = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer.map_err(|source| refused(what.to_owned(), source))? {
                Message::NewAddress(message) => addresses.extend(own_address(&message).map(|address| Own {
                    ifindex: message.header.index,
                    address,
                    length: message.header.prefix_len,
                })),
                _ => continue,
            }
        }
        Ok(addresses)
    }

    /// The way to an address, and which of its own this box sends from there.
    pub(super) async fn route(&self, address: IpAddr) -> Result<Route, NetError> {
        let none = Route { way: Err(NoNeighbour::NoRoute), source: None };
        let mut question = RouteMessage::default();
        question.header.address_family = family(address);
        question.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
        question.attributes = vec![RouteAttribute::Destination(address.into())];
        match self.one(Message::GetRoute(question), 0, "look up a route").await? {
            Ok(Some(Message::NewRoute(answer))) => Ok(Route { way: way(&answer), source: source(&answer) }),
            Ok(_) => Ok(none),
            Err(error) if error.raw_os_error().is_some_and(|code| NO_ROUTE.contains(&code)) => Ok(none),
            Err(source) => Err(refused(format!("look up the route to {address}"), source)),
        }
    }

    /// The kernel's entry of a neighbour, if there is one.
    pub(super) async fn neighbour(
        &self,
        ifindex: u32,
        address: IpAddr,
    ) -> Result<Option<NeighbourMessage>, NetError> {
        let question = Message::GetNeighbour(about(ifindex, address));
        match self.one(question, 0, "look up a neighbour").await? {
            Ok(Some(Message::NewNeighbour(entry))) => Ok(Some(entry)),
            Ok(_) => Ok(None),
            // The interface may be gone by now: then there is no entry either.
            Err(error) if error.raw_os_error().is_some_and(|code| code != libc::EPERM) => Ok(None),
            Err(source) => Err(refused(format!("look up the neighbour {address}"), source)),
        }
    }

    /// Has the kernel keep a neighbour resolved by itself (`NTF_EXT_MANAGED`, since Linux 5.16), and ask for it at
    /// once. An entry that the operator made permanent would lose that: look first.
    ///
    /// It is marked as ours, and as learned elsewhere so that it outlives the cleaning of a full table.
    pub(super) async fn manage(&self, ifindex: u32, address: IpAddr) -> Result<(), NetError> {
        let mut entry = about(ifindex, address);
        entry.header.state = NeighbourState::None;
        entry.header.flags = NeighbourFlags::ExtLearned;
        entry.attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
        entry.attributes.push(NeighbourAttribute::Protocol(RouteProtocol::Other(OWNER)));
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        match self.one(Message::NewNeighbour(entry), flags, "manage a neighbour").await? {
            Ok(_) => Ok(()),
            Err(source) => {
                Err(refused(format!("have the kernel look after the neighbour {address}"), source))
            }
        }
    }

    /// Has the kernel ask for a neighbour once, as if a packet were to go there (`NTF_USE`). The entry stays.
    pub(super) async fn call(&self, ifindex: u32, address: IpAddr) -> Result<(), NetError> {
        let mut entry = about(ifindex, address);
        entry.header.state = NeighbourState::None;
        entry.header.flags = NeighbourFlags::Use;
        match self.one(Message::NewNeighbour(entry), NLM_F_ACK | NLM_F_CREATE, "ask for a neighbour").await? {
            Ok(_) => Ok(()),
            Err(source) => Err(refused(format!("ask for the neighbour {address}"), source)),
        }
    }

    /// All neighbour entries that are ours: interface and address.
    pub(super) async fn managed(&self) -> Result<Vec<(u32, IpAddr)>, NetError> {
        let what = "list neighbours";
        let question = Message::GetNeighbour(NeighbourMessage::default());
        let mut answers = self.ask(question, NLM_F_DUMP, what)?;
        let mut managed = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer.map_err(|source| refused(what.to_owned(), source))? {
                Message::NewNeighbour(entry) if care(&entry) == Care::Ours => {
                    managed.extend(subject(&entry));
                }
                _ => continue,
            }
        }
        Ok(managed)
    }

    /// Removes a neighbour entry, if it is there.
    pub(super) async fn forget(&self, ifindex: u32, address: IpAddr) -> Result<(), NetError> {
        let question = Message::DelNeighbour(about(ifindex, address));
        match self.one(question, NLM_F_ACK, "remove a neighbour").await? {
            Err(error) if !gone(&error) => Err(refused(format!("remove the neighbour {address}"), error)),
            _ => Ok(()),
        }
    }

    /// The first answer, which may be a refusal; `None` for a bare acknowledgement.
    pub(super) async fn one(
        &self,
        question: Message,
        flags: u16,
        what: &'static str,
    ) -> Result<io::Result<Option<Message>>, NetError> {
        let mut answers = self.ask(question, flags, what)?;
        Ok(answers.next().await.transpose())
    }

    pub(super) fn ask(
        &self,
        question: Message,
        flags: u16,
        what: &'static str,
    ) -> Result<impl Stream<Item = io::Result<Message>> + use<> + Unpin, NetError> {
        let mut request = NetlinkMessage::from(question);
        request.header.flags = NLM_F_REQUEST | flags;
        let answers = self.handle.clone().request(request).map_err(|_| NetError::Ended { what })?;
        Ok(Box::pin(answers.filter_map(async |answer| match answer.payload {
            NetlinkPayload::InnerMessage(message) => Some(Ok(message)),
            NetlinkPayload::Error(error) => error.code.map(|_| Err(error.to_io())),
            _ => None,
        })))
    }
}

/// A message about the neighbour with an address.
pub(super) fn about(ifindex: u32, address: IpAddr) -> NeighbourMessage {
    let mut entry = NeighbourMessage::default();
    entry.header.family = family(address);
    entry.header.ifindex = ifindex;
    entry.attributes = vec![NeighbourAttribute::Destination(match address {
        IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
        IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
    })];
    entry
}

/// The address that a message is about: on a link between two, the nearer one.
pub(super) fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let attribute =
        |found: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(found);
    let local = attribute(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        attribute(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

/// The family of an address.
pub(super) const fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// True if the entry or its interface does not exist.
fn gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::ENXIO))
}

/// A refusal of the kernel's.
pub(super) const fn refused(what: String, source: io::Error) -> NetError {
    NetError::Refused { what, source }
}
