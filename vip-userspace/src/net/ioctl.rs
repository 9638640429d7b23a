//! Requests that have no safe wrapper: link-layer multicast addresses of an interface; flags, name and statistics of its
//! driver. Which of them, and why, is not known here.
#![expect(unsafe_code, reason = "the requests have no safe wrapper")]

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use bytemuck::{Pod, Zeroable};

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
#[derive(Clone, Copy, Pod, Zeroable)]
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

/// `ETHTOOL_GDRVINFO`
const GET_DRIVER: u32 = 0x03;
/// `ETHTOOL_GSTRINGS`
const GET_STRINGS: u32 = 0x1b;
/// `ETHTOOL_GSTATS`
const GET_STATISTICS: u32 = 0x1d;
/// `ETH_SS_STATS`: the names of statistics.
const STATISTICS: u32 = 1;
/// `ETH_GSTRING_LEN`
const NAME_LEN: usize = 32;
/// The most statistics that there is room for. Drivers have some dozens for each queue, and a few thousand in all.
const MAX_STATISTICS: usize = 1 << 16;

/// `struct ethtool_drvinfo`
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct DriverInfo {
    command: u32,
    name: [u8; 32],
    versions: [[u8; 32]; 2],
    bus: [u8; 32],
    rest: [[u8; 32]; 1],
    reserved: [u8; 12],
    counts: [u32; 5],
}
const _: () = assert!(size_of::<DriverInfo>() == 196);

/// `struct ethtool_stats`: as many values as the second word says.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Statistics {
    command: u32,
    count: u32,
    values: [u64; MAX_STATISTICS],
}

/// `struct ethtool_gstrings`: as many names as the third word says.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Strings {
    command: u32,
    set: u32,
    count: u32,
    names: [[u8; NAME_LEN]; MAX_STATISTICS],
}

/// What a request of [`ethtool`] points to: it has room for all that the kernel writes.
///
/// # Safety
/// The kernel's answer to the command of a value must be no longer than the type.
unsafe trait Answer: Pod {}

// SAFETY: the commands that are made of it read and write just this.
unsafe impl Answer for Value {}
// SAFETY: `ETHTOOL_GDRVINFO` writes just this.
unsafe impl Answer for DriverInfo {}
// SAFETY: `ETHTOOL_GSTATS` writes as many values as the driver has statistics, which `count_of_statistics` has held to a 16th of
// the room; newer kernels write no more than the count that they are given.
unsafe impl Answer for Statistics {}
// SAFETY: `ETHTOOL_GSTRINGS` writes as many names as the driver has statistics, as above.
unsafe impl Answer for Strings {}

/// Name of an interface's driver, and its place on the bus.
///
/// `socket` says in which network namespace.
pub(super) fn driver(socket: BorrowedFd<'_>, interface: &str) -> io::Result<(String, String)> {
    let mut info = DriverInfo { command: GET_DRIVER, ..DriverInfo::zeroed() };
    ethtool(socket, interface, &mut info)?;
    Ok((text(&info.name), text(&info.bus)))
}

/// Statistics of an interface's driver, with its own names for them.
///
/// `socket` says in which network namespace.
pub(super) fn statistics(socket: BorrowedFd<'_>, interface: &str) -> io::Result<Vec<(String, u64)>> {
    let count = count_of_statistics(socket, interface)?;
    let mut names = bytemuck::zeroed_box::<Strings>();
    (names.command, names.set, names.count) = (GET_STRINGS, STATISTICS, count);
    ethtool(socket, interface, &mut *names)?;
    let mut values = bytemuck::zeroed_box::<Statistics>();
    (values.command, values.count) = (GET_STATISTICS, names.count);
    ethtool(socket, interface, &mut *values)?;
    let pairs = names.names.iter().zip(&values.values).take(values.count as usize);
    Ok(pairs.map(|(name, value)| (text(name), *value)).collect())
}

/// How many statistics a driver has: a 16th of the room at most, so that there is room for more that it gets meanwhile.
fn count_of_statistics(socket: BorrowedFd<'_>, interface: &str) -> io::Result<u32> {
    let mut info = DriverInfo { command: GET_DRIVER, ..DriverInfo::zeroed() };
    ethtool(socket, interface, &mut info)?;
    let [_, count, ..] = info.counts;
    if (count as usize) > MAX_STATISTICS / 16 {
        return Err(io::Error::other(format!("the driver has {count} statistics, which are too many")));
    }
    Ok(count)
}

/// A C string.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn ethtool(socket: BorrowedFd<'_>, interface: &str, answer: &mut impl Answer) -> io::Result<()> {
    let mut request = about(interface)?;
    request.ifr_ifru.ifru_data = (&raw mut *answer).cast();
    // SAFETY: `SIOCETHTOOL` reads one `ifreq`, which `request` is and outlives the call, and reads and writes what that points
    // to, which is borrowed for the call, takes any bytes, and has room by the contract of `Answer`. The name ends with a zero
    // byte, and the descriptor is borrowed, so it is open.
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
