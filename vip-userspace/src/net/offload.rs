//! What a NIC does to frames before the program sees them, and must not: taking VLAN tags off. The program would then take a
//! tagged frame for an untagged one, and send it on without its tag, into another VLAN. Or leaving checksums open, which the
//! next NIC would not know of. When that is turned off, and back on, is not decided here.

use std::{collections::BTreeSet, io, os::fd::AsFd as _};

use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use super::{
    Links,
    ioctl::{Flag, driver_flags, set_driver_flags, set_tx_checksums},
};

/// An interface whose NIC took tags off before it was told not to. It outlives the controller, so it is to be written down
/// for [`give_back_tags`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TookTags {
    /// Index of the interface.
    pub ifindex: u32,
}

/// A setting that can't be read or changed.
#[derive(Debug, thiserror::Error)]
#[error("{interface}: rxvlan can't be {action}: {source}")]
pub struct OffloadError {
    /// Name of the interface.
    pub interface: String,
    /// `read`, `turned off` or `turned on again`.
    pub action: &'static str,
    /// Why not.
    pub source: io::Error,
}

/// Whether an interface's NIC takes 802.1Q tags off received frames (`ethtool -k`: rx-vlan-offload).
///
/// # Errors
/// It can't be asked.
pub fn takes_tags(interface: &str) -> Result<bool, OffloadError> {
    let asked = socket().and_then(|socket| driver_flags(socket.as_fd(), interface));
    match asked {
        Ok(flags) => Ok(flags & Flag::RX_VLAN != 0),
        // A driver without any such setting does nothing of the kind.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
        Err(source) => Err(OffloadError { interface: interface.to_owned(), action: "read", source }),
    }
}

/// Has an interface's NIC leave tags where they are (`ethtool -K eth0 rxvlan off`).
///
/// # Errors
/// The driver refuses, or does it nevertheless.
pub fn leave_tags(interface: &str) -> Result<(), OffloadError> {
    set(interface, false).map_err(|source| OffloadError {
        interface: interface.to_owned(),
        action: "turned off",
        source,
    })
}

/// Has the NICs of interfaces take tags off as they did before. Those that are gone are passed over.
///
/// # Errors
/// The first one that could not be set; the others were.
pub fn give_back_tags(took: &BTreeSet<TookTags>, links: &Links) -> Result<(), OffloadError> {
    let names = took.iter().filter_map(|took| links.by_index(took.ifindex));
    let results: Vec<_> = names
        .map(|link| {
            let interface = link.name.clone();
            set(&interface, true).map_err(|source| OffloadError {
                interface,
                action: "turned on again",
                source,
            })
        })
        .collect();
    results.into_iter().collect()
}

/// Has the kernel write the checksums of what leaves by an interface (`ethtool -K … tx off`), before anybody sees it.
///
/// # Errors
/// The driver refuses.
pub fn complete_checksums(interface: &str) -> io::Result<()> {
    set_tx_checksums(socket()?.as_fd(), interface, false)
}

/// In the network namespace of this thread.
fn socket() -> io::Result<Socket> {
    Socket::new(Domain::IPV4, Type::DGRAM, None)
}

fn set(interface: &str, takes: bool) -> io::Result<()> {
    let socket = socket()?;
    let flags = driver_flags(socket.as_fd(), interface)?;
    let wanted = if takes { flags | Flag::RX_VLAN } else { flags & !Flag::RX_VLAN };
    if flags == wanted {
        return Ok(());
    }
    set_driver_flags(socket.as_fd(), interface, wanted)?;
    // Some drivers take the wish and keep their way: the setting is fixed, or another one needs it.
    if driver_flags(socket.as_fd(), interface)? & Flag::RX_VLAN == wanted & Flag::RX_VLAN {
        Ok(())
    } else {
        Err(io::Error::other("the driver does not let it be changed"))
    }
}
