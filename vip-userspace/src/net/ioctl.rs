//! Requests that have no safe wrapper: link-layer multicast addresses of an interface, and flags of its driver. Which
//! addresses and flags, and why, is not known here.
#![expect(unsafe_code, reason = "the requests have no safe wrapper")]

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use crate::model::Mac;

/// Add or remove.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// `SIOCADDMULTI`
    Add,
    /// `SIOCDELMULTI`
    Remove,
}

/// Adds a multicast MAC to those that an interface lets in, or removes it (netdevice(7); net/core/dev_ioctl.c). It
/// stays when the process ends. Adding one that is there does nothing; removing one that is not is `ENOENT`.
///
/// `socket` says in which network namespace.
pub(super) fn change_multicast(
    socket: BorrowedFd<'_>,
    interface: &str,
    group: Mac,
    change: Change,
) -> io::Result<()> {
    let mut request = about(interface)?;
    // SAFETY: all bytes of the union are zero, and `sockaddr` is valid for any bytes.
    let address = unsafe { &mut request.ifr_ifru.ifru_hwaddr };
    // The family is left at zero, `AF_UNSPEC`: the kernel asks for that.
    for (to, from) in address.sa_data.iter_mut().zip(group.0) {
        *to = from.cast_signed();
    }
    let number = match change {
        Change::Add => libc::SIOCADDMULTI,
        Change::Remove => libc::SIOCDELMULTI,
    };
    // SAFETY: both requests read one `ifreq`, which `request` is and outlives the call; the name in it ends with a zero
    // byte, as it is shorter than its array. The descriptor is borrowed, so it is open.
    match unsafe { libc::ioctl(socket.as_raw_fd(), number, &raw const request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Flags of a driver (include/uapi/linux/ethtool.h, `enum ethtool_flags`).
pub(super) struct Flag;

impl Flag {
    /// `ETH_FLAG_RXVLAN`
    pub(super) const RX_VLAN: u32 = 1 << 8;
}

/// `ETHTOOL_GFLAGS`
const GET_FLAGS: u32 = 0x25;
/// `ETHTOOL_SFLAGS`
const SET_FLAGS: u32 = 0x26;

/// `struct ethtool_value`
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `ETHTOOL_STXCSUM`
const SET_TX_CHECKSUMS: u32 = 0x17;

/// Leaves the checksums of what an interface sends to its driver, or not.
///
/// `socket` says in which network namespace.
pub(super) fn set_tx_checksums(socket: BorrowedFd<'_>, interface: &str, offloads: bool) -> io::Result<()> {
    ethtool(socket, interface, &mut Value { command: SET_TX_CHECKSUMS, data: offloads.into() })
}

/// The flags of an interface's driver.
///
/// `socket` says in which network namespace.
pub(super) fn driver_flags(socket: BorrowedFd<'_>, interface: &str) -> io::Result<u32> {
    let mut value = Value { command: GET_FLAGS, data: 0 };
    ethtool(socket, interface, &mut value)?;
    Ok(value.data)
}

/// Sets the flags of an interface's driver. Those that it can't change are refused with `EINVAL`.
pub(super) fn set_driver_flags(socket: BorrowedFd<'_>, interface: &str, flags: u32) -> io::Result<()> {
    ethtool(socket, interface, &mut Value { command: SET_FLAGS, data: flags })
}

fn ethtool(socket: BorrowedFd<'_>, interface: &str, value: &mut Value) -> io::Result<()> {
    let mut request = about(interface)?;
    request.ifr_ifru.ifru_data = (&raw mut *value).cast();
    // SAFETY: `SIOCETHTOOL` reads one `ifreq`, which `request` is and outlives the call, and for these commands reads and
    // writes the `ethtool_value` that it points to, which is borrowed for the call. The name ends with a zero byte, and the
    // descriptor is borrowed, so it is open.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A request about an interface, of which all else is zero.
fn about(interface: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is a C struct of integers, arrays of them and a pointer, for all of which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() || !interface.is_ascii() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    Ok(request)
}
