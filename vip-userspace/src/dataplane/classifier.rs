//! Attaches the classifier that leads probes to what leaves by an interface, and takes it away again. By a pinned link
//! where the kernel has such links for classifiers; on older ones by a filter of the interface's `clsact`, which needs
//! nobody to hold it. What the classifier does is not known here.

use std::{io, path::Path};

use aya::{
    programs::{
        ProgramError, SchedClassifier, TcAttachType,
        links::Link as _,
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle},
    },
    util::KernelVersion,
};

use super::{
    error::DataplaneError,
    interface::Interface,
    kernel::release,
    object::PROBE,
    pins::{Pins, open_link, remove_file},
    xdp_link::XdpLink,
};

/// Where our filter is among those of an interface, on a kernel without links. The director is the only one of its kind on
/// an interface, so its classifier is, too.
const PRIORITY: u16 = 0x7669;
const HANDLE: TcHandle = TcHandle::new(0, 1);

/// Attaches the classifier to an interface. One of an earlier run is replaced in place.
///
/// # Errors
/// The kernel refuses.
pub(super) fn attach(
    program: &mut SchedClassifier,
    pins: &Pins,
    interface: &Interface,
) -> Result<(), DataplaneError> {
    if has_links() { attach_link(program, pins, interface) } else { attach_filter(program, &interface.name) }
}

/// Takes it away, if it is there. `path` is where its link would be pinned, `interface` the name of the interface where
/// that is known.
///
/// # Errors
/// The kernel refuses.
pub(super) fn detach(path: &Path, interface: Option<&str>) -> Result<(), DataplaneError> {
    if has_links() {
        return release(path);
    }
    // An interface that is gone has taken its filters along.
    let Some(link) = interface.and_then(|interface| filter(interface).ok()) else { return Ok(()) };
    // The one error that the kernel has for a filter that is not there, in the library's words.
    match link.detach() {
        Err(error) if !is_missing(&error) => {
            Err(DataplaneError::aya(what(interface.unwrap_or_default()))(error))
        }
        _ => Ok(()),
    }
}

/// Whether the kernel has links for classifiers (tcx).
fn has_links() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0))
}

fn attach_link(program: &SchedClassifier, pins: &Pins, interface: &Interface) -> Result<(), DataplaneError> {
    use std::os::fd::AsFd as _;

    let (path, failed) = (pins.probe_link(interface.index), DataplaneError::io(what(&interface.name)));
    let program = program.fd().map_err(DataplaneError::aya(PROBE))?.as_fd();
    if let Some((link, _)) = open_link(&path)?.filter(|(_, info)| info.ifindex == interface.index) {
        return link.replace_program(program).map_err(failed);
    }
    let link = XdpLink::create_at_egress(program, interface.index).map_err(failed)?;
    remove_file(&path)?;
    link.pin(&path).map_err(DataplaneError::io(format!("pin the link {}", path.display())))
}

fn attach_filter(program: &mut SchedClassifier, interface: &str) -> Result<(), DataplaneError> {
    match tc::qdisc_add_clsact(interface) {
        Ok(()) | Err(TcError::AlreadyAttached) => {}
        // The kernel's own word for that.
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
        Err(error) => return Err(DataplaneError::aya(what(interface))(error)),
    }
    let old = filter(interface).map_err(DataplaneError::io(what(interface)))?;
    let attached = program.attach_to_link(old).or_else(|_| {
        let options = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
        program.attach_with_options(interface, TcAttachType::Egress, TcAttachOptions::Netlink(options))
    });
    let id = attached.map_err(DataplaneError::aya(what(interface)))?;
    let link = program.take_link(id).map_err(DataplaneError::aya(what(interface)))?;
    // It stays when this process ends, as forwarding does.
    std::mem::forget(link);
    Ok(())
}

/// Our filter on an interface, whether or not it is there.
fn filter(interface: &str) -> io::Result<SchedClassifierLink> {
    SchedClassifierLink::attached(interface, TcAttachType::Egress, PRIORITY, HANDLE, None)
}

fn is_missing(error: &ProgramError) -> bool {
    let ProgramError::NetlinkError(error) = error else { return false };
    let missing = [libc::ENOENT, libc::EINVAL, libc::ENODEV];
    error.raw_os_error().is_some_and(|code| missing.contains(&code))
}

fn what(interface: &str) -> String {
    format!("the program {PROBE} at what leaves by {interface}")
}
