//! BPF links of programs on interfaces (XDP, and classifiers at egress), by the system call: the BPF library hides which
//! interface a link is of, and falls back to an attachment that can't be pinned. It knows no policy.

#![expect(unsafe_code, reason = "the bpf system call has no safe wrapper for links")]

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use bytemuck::{Pod, Zeroable};

use crate::model::Mode;

// include/uapi/linux/bpf.h, `enum bpf_cmd` and `enum bpf_attach_type`.
const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const LINK_CREATE: libc::c_int = 28;
const LINK_UPDATE: libc::c_int = 29;
const LINK_DETACH: libc::c_int = 34;
const ATTACH_TYPE_XDP: u32 = 37;
const ATTACH_TYPE_TCX_EGRESS: u32 = 47;
// include/uapi/linux/if_link.h.
const FLAG_GENERIC: u32 = 1 << 1;
const FLAG_NATIVE: u32 = 1 << 2;

/// Arguments of `BPF_OBJ_PIN` and `BPF_OBJ_GET`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Object {
    path: u64,
    fd: u32,
    flags: u32,
}

/// Arguments of `BPF_LINK_CREATE`, `BPF_LINK_UPDATE` and `BPF_LINK_DETACH`: what the four words mean differs.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Link([u32; 4]);

/// Arguments of `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct InfoQuery {
    fd: u32,
    len: u32,
    info: u64,
}

/// The start of `struct bpf_link_info`, as far as links of interfaces use it.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Debug)]
pub(super) struct LinkInfo {
    kind: u32,
    /// The link's id.
    pub(super) id: u32,
    /// Id of the program in it.
    pub(super) program: u32,
    zero: u32,
    /// Index of its interface; 0 once that is gone.
    pub(super) ifindex: u32,
    /// Where on the interface; nothing for XDP.
    place: u32,
}

const LINK_INFO_LEN: u32 = 24;
const _: () = assert!(size_of::<LinkInfo>() == LINK_INFO_LEN as usize);

/// A link: the program stays attached while a link is open or pinned.
#[derive(Debug)]
pub(super) struct XdpLink(OwnedFd);

impl XdpLink {
    /// Attaches a program to an interface.
    ///
    /// # Errors
    /// What the kernel or the driver says; `EBUSY` and `EEXIST` where another program is attached.
    pub(super) fn create(program: BorrowedFd<'_>, ifindex: u32, mode: Mode) -> io::Result<Self> {
        let flags = match mode {
            Mode::Native => FLAG_NATIVE,
            Mode::Generic => FLAG_GENERIC,
        };
        let mut arguments = Link([number(program.as_raw_fd()), ifindex, ATTACH_TYPE_XDP, flags]);
        // SAFETY: there is no pointer in the arguments; the result is a descriptor of nobody else.
        unsafe { bpf(LINK_CREATE, &mut arguments).map(|fd| Self(OwnedFd::from_raw_fd(fd))) }
    }

    /// Attaches a classifier to what leaves by an interface, behind those that are there (tcx, since Linux 6.6).
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn create_at_egress(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<Self> {
        let mut arguments = Link([number(program.as_raw_fd()), ifindex, ATTACH_TYPE_TCX_EGRESS, 0]);
        // SAFETY: there is no pointer in the arguments; the result is a descriptor of nobody else.
        unsafe { bpf(LINK_CREATE, &mut arguments).map(|fd| Self(OwnedFd::from_raw_fd(fd))) }
    }

    /// Opens a pinned link.
    ///
    /// # Errors
    /// There is no such pin, or it may not be opened.
    pub(super) fn open(pin: &Path) -> io::Result<Self> {
        let path = CString::new(pin.as_os_str().as_bytes())?;
        let mut arguments = Object { path: path.as_ptr() as u64, fd: 0, flags: 0 };
        // SAFETY: `path` is a C string that outlives the call; the result is a descriptor of nobody else.
        unsafe { bpf(OBJ_GET, &mut arguments).map(|fd| Self(OwnedFd::from_raw_fd(fd))) }
    }

    /// Pins the link, so that it outlives the process.
    ///
    /// # Errors
    /// The path exists, or is not in a BPF file system.
    pub(super) fn pin(&self, pin: &Path) -> io::Result<()> {
        let path = CString::new(pin.as_os_str().as_bytes())?;
        let mut arguments = Object { path: path.as_ptr() as u64, fd: self.number(), flags: 0 };
        // SAFETY: `path` is a C string that outlives the call.
        unsafe { bpf(OBJ_PIN, &mut arguments) }.map(drop)
    }

    /// Puts another program into the link; each packet meets the old one or the new one.
    ///
    /// # Errors
    /// The interface is gone.
    pub(super) fn replace_program(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        let mut arguments = Link([self.number(), number(program.as_raw_fd()), 0, 0]);
        // SAFETY: there is no pointer in the arguments.
        unsafe { bpf(LINK_UPDATE, &mut arguments) }.map(drop)
    }

    /// Detaches the program now, whoever else holds the link; it can't be used again.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn detach(&self) -> io::Result<()> {
        let mut arguments = Link([self.number(), 0, 0, 0]);
        // SAFETY: there is no pointer in the arguments.
        unsafe { bpf(LINK_DETACH, &mut arguments) }.map(drop)
    }

    /// What the kernel knows of the link.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn info(&self) -> io::Result<LinkInfo> {
        let mut info = LinkInfo::zeroed();
        let mut arguments = InfoQuery {
            fd: self.number(),
            len: LINK_INFO_LEN,
            info: (&raw mut info).expose_provenance() as u64,
        };
        // SAFETY: the kernel writes at most `len` bytes to `info`, which outlives the call and takes any bytes.
        unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut arguments) }?;
        Ok(info)
    }

    fn number(&self) -> u32 {
        number(self.0.as_raw_fd())
    }
}

/// An open descriptor is not negative.
fn number(fd: RawFd) -> u32 {
    fd.cast_unsigned()
}

/// The system call.
///
/// # Safety
/// Addresses in the arguments must be those of memory that the command may read or write during the call.
unsafe fn bpf<A: Pod>(command: libc::c_int, arguments: &mut A) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads and writes at most the given size at `arguments`; the caller answers for the rest.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *arguments, size_of::<A>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(libc::c_int::try_from(result).unwrap_or_default())
    }
}
