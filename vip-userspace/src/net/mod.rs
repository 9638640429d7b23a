//! The kernel's view of the links: interfaces, and where backends are on them. It tells what is; which of it
//! matters to a service it does not know.
//!
//! [`classify`] and [`place`] are pure; [`watcher`] keeps asking the kernel, [`owners`] and `reach` the link, [`claims`] the
//! wire once; [`ethtool`], [`netdev`] and [`counters`] ask about drivers; [`groups`] lets neighbour solicitations for VIPs in,
//! [`offload`] keeps NICs from taking tags off, [`lanes`] lead probes out and the [`inlet`] local clients in. Sockets are made
//! in the network namespace of the calling thread.

pub mod claims;
pub mod classify;
pub mod counters;
pub mod ethtool;
mod events;
pub mod groups;
pub mod inlet;
mod ioctl;
mod kernel;
pub mod lanes;
pub mod link;
pub mod netdev;
pub mod offload;
pub mod owners;
mod packet;
pub mod place;
mod reach;
pub mod watcher;

use std::{io, net::IpAddr};

pub use classify::Way;
pub use groups::{GroupError, Groups, Membership, leave};
pub use link::{Link, Links};
pub use offload::{OffloadError, TookTags, give_back_tags, leave_tags, takes_tags};
pub use owners::{Asker, Owners};
pub use watcher::{Watcher, addresses, release, routes};

use crate::model::{NoNeighbour, Place};

/// A change of what the kernel knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NetEvent {
    /// A watched address was found, has moved, or is found no longer. Until the first one it is
    /// [`NoNeighbour::Pending`].
    Neighbour {
        /// The watched address.
        address: IpAddr,
        /// Where it is now, or why that is not known.
        result: Result<Place, NoNeighbour>,
    },
    /// An interface appeared or changed. The first ones tell of all that exist.
    Link(Link),
    /// An interface is gone.
    LinkGone(Link),
}

/// The kernel can't be asked, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// No netlink socket could be made.
    #[error("netlink socket: {0}")]
    Socket(#[source] io::Error),
    /// The connection to the kernel ended.
    #[error("{what}: the netlink connection ended")]
    Ended {
        /// What was asked for.
        what: &'static str,
    },
    /// The kernel refused.
    #[error("{what}: {source}")]
    Refused {
        /// What was asked for.
        what: String,
        /// Why not.
        source: io::Error,
    },
}
