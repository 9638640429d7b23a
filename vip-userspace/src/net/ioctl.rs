//! The one request that has neither a netlink message nor a safe wrapper: link-layer multicast addresses of an
//! interface. Which addresses, and why, is not known here.
#![expect(unsafe_code, reason = "the request has no safe wrapper")]

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
    // SAFETY: `ifreq` is a C struct of integers, arrays of them and a pointer, for all of which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() || !interface.is_ascii() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
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
