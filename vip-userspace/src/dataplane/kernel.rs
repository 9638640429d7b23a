//! The dataplane of an instance: the director's program and tables, pinned, so that they outlive the controller, and
//! attached to interfaces by links. It takes over what is pinned; what packets get is the tables' business.

mod trace;

use std::{io, path::PathBuf};

use aya::programs::loaded_programs;
use vip_common::tables::InsertCount;

use super::{
    AttachMode, Capacity, Counts, Dataplane, Mode, Swept, classifier,
    detach::detach,
    director::Director,
    error::DataplaneError,
    inspect::{Attached, attached},
    interface::{self, Interface},
    packet_log::PacketLog,
    pins::{Pins, open_link, remove_file},
    tracer::Tracer,
    xdp_link::XdpLink,
};
use crate::{
    places::Places,
    plan::{Operation, Tables},
};

type Result<T> = std::result::Result<T, DataplaneError>;

/// The tables in the kernel and the program that reads them.
pub struct KernelDataplane {
    director: Director,
    places: Places,
    pins: Pins,
    fresh: bool,
    /// The interfaces that this run attached to, and the pins of their links.
    made: Vec<(Interface, PathBuf)>,
    program_pinned: bool,
    /// In place of the director while somebody traces.
    tracer: Option<Tracer>,
}

/// What was found when the tables were opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Adopted {
    /// Nothing: all tables are new and empty.
    pub fresh: bool,
    /// The interfaces that forward already, by an older program until they are attached again.
    pub interfaces: Vec<Attached>,
    /// Indices of interfaces that were attached and are gone; their links were removed.
    pub gone: Vec<u32>,
}

/// An interface that the program is attached to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attachment {
    /// Index of the interface.
    pub ifindex: u32,
    /// How it is attached, by what the interface says.
    pub mode: Mode,
    /// Why it is not native, where it was to be if possible.
    pub fell_back: Option<String>,
    /// It was attached before; the program was replaced without losing a packet.
    pub adopted: bool,
}

/// Says whether [`KernelDataplane::open`] and [`KernelDataplane::attach`] would be refused. Changes nothing, so a
/// controller calls it before anything else.
///
/// # Errors
/// The first refusal.
pub fn check(
    places: &Places,
    capacity: Capacity,
    interfaces: &[(&str, AttachMode)],
) -> Result<Vec<Interface>> {
    let pins = Pins::new(places);
    pins.refuse_other_layouts()?;
    let wanted = pins.wanted(capacity, largest_index()?)?;
    let ports = wanted.shapes.first().map_or(0, |ports| ports.entries);
    let mut found = Vec::new();
    for (name, mode) in interfaces {
        let interface = look_up(name)?;
        claim(&pins, &interface, *mode, ports)?;
        found.push(interface);
    }
    Ok(found)
}

impl KernelDataplane {
    /// Opens the pinned tables, makes those that are missing, and loads the program. Packets notice nothing yet.
    ///
    /// # Errors
    /// Pins are of another layout, a table has another shape or size, or the kernel refuses something.
    pub fn open(places: &Places, capacity: Capacity, log_packets: bool) -> Result<(Self, Adopted)> {
        let pins = Pins::new(places);
        pins.refuse_other_layouts()?;
        let wanted = pins.wanted(capacity, largest_index()?)?;
        let gone = pins.drop_dead_links()?;
        pins.create()?;
        let fresh = wanted.pinned == 0;
        // Each table is pinned as it is made, empty. If this ends half-way, the next run takes those over.
        let loaded = Director::load_with(&wanted.shapes, log_packets, |name| Some(pins.table(name)));
        let director = loaded.and_then(|mut director| director.maps.repair_vips().map(|()| director));
        if fresh && director.is_err() {
            detach(places)?;
        }
        let adopted = Adopted { fresh, interfaces: attached(&pins)?, gone };
        let (places, made) = (places.clone(), Vec::new());
        Ok((
            Self { director: director?, places, pins, fresh, made, program_pinned: false, tracer: None },
            adopted,
        ))
    }

    /// Attaches the program to an interface. Where an older one of this instance is attached, it is replaced in
    /// place: each packet meets one or the other. Publish the tables before.
    ///
    /// # Errors
    /// There is no such interface, another program is on it, or the kernel or driver refuses.
    pub fn attach(&mut self, interface: &str, mode: AttachMode) -> Result<Attachment> {
        let interface = look_up(interface)?;
        let path = self.pins.link(interface.index);
        let (fell_back, adopted) =
            match claim(&self.pins, &interface, mode, self.director.maps.port_entries())? {
                Claim::Ours(link) => {
                    let what = format!("replace the program of interface {}", interface.name);
                    link.replace_program(self.program_fd()?).map_err(DataplaneError::io(what))?;
                    (None, true)
                }
                Claim::Free => {
                    let (link, fell_back) = self.create_link(&interface, mode)?;
                    remove_file(&path)?;
                    link.pin(&path)
                        .map_err(DataplaneError::io(format!("pin the link {}", path.display())))?;
                    self.made.push((interface.clone(), path));
                    (fell_back, false)
                }
            };
        classifier::attach(self.director.classifier_mut()?, &self.pins, &interface)?;
        if !self.program_pinned {
            self.pins.put_program(self.director.program_mut()?)?;
            self.program_pinned = true;
        }
        let mode = look_up(&interface.name)?.xdp.map(|xdp| xdp.mode);
        let mode = mode.ok_or_else(|| DataplaneError::NoInterface(interface.name.clone()))?;
        Ok(Attachment { ifindex: interface.index, mode, fell_back, adopted })
    }

    fn create_link(&self, interface: &Interface, mode: AttachMode) -> Result<(XdpLink, Option<String>)> {
        let program = self.program_fd()?;
        let create = |mode| XdpLink::create(program, interface.index, mode);
        let (mode, native, result) = match mode {
            AttachMode::Native => (Mode::Native, None, create(Mode::Native)),
            AttachMode::Generic => (Mode::Generic, None, create(Mode::Generic)),
            AttachMode::Auto => match create(Mode::Native) {
                Err(error) if is_for_the_mode(&error) => {
                    (Mode::Generic, Some(error.to_string()), create(Mode::Generic))
                }
                result => (Mode::Native, None, result),
            },
        };
        match result {
            Ok(link) => Ok((link, native)),
            Err(source) => {
                // Somebody may have been faster.
                refuse_other_program(&look_up(&interface.name)?)?;
                Err(DataplaneError::Refused { interface: interface.name.clone(), mode, native, source })
            }
        }
    }

    /// Detaches from all interfaces but those with the indices `keep`: the ones that a configuration has left out.
    ///
    /// # Errors
    /// A link can't be removed.
    pub fn release_others(&mut self, keep: &[u32]) -> Result<Vec<Attached>> {
        let others = attached(&self.pins)?.into_iter().filter(|attached| !keep.contains(&attached.ifindex));
        let release_both = |other: Attached| {
            classifier::detach(&self.pins.probe_link(other.ifindex), other.name.as_deref())?;
            release(&self.pins.link(other.ifindex)).map(|()| other)
        };
        others.map(release_both).collect()
    }

    /// The interfaces that forward now.
    ///
    /// # Errors
    /// A link can't be looked at.
    pub fn interfaces(&self) -> Result<Vec<Attached>> {
        attached(&self.pins)
    }

    /// Takes back what this run made, after a refusal: its links, and all pins if there were none before.
    ///
    /// # Errors
    /// Something can't be removed.
    pub fn undo(self) -> Result<()> {
        for (interface, link) in &self.made {
            classifier::detach(&self.pins.probe_link(interface.index), Some(&interface.name))?;
            release(link)?;
        }
        if self.fresh {
            detach(&self.places)?;
        }
        Ok(())
    }

    /// What the program logs of packets, if it was loaded so: once.
    ///
    /// # Errors
    /// It was taken before.
    pub fn packet_log(&mut self, line: impl Fn(&str) + Send + Sync + 'static) -> Result<PacketLog> {
        self.director.packet_log(line)
    }

    /// The program and tables themselves.
    #[must_use]
    pub fn director(&self) -> &Director {
        &self.director
    }
}

impl Dataplane for KernelDataplane {
    fn read(&self) -> anyhow::Result<Tables> {
        self.director.read()
    }

    fn apply(&mut self, operations: &[Operation]) -> anyhow::Result<()> {
        self.director.apply(operations)
    }

    fn strays(&self, published: &Tables, part: usize, parts: usize) -> anyhow::Result<Vec<Operation>> {
        self.director.strays(published, part, parts)
    }

    fn counts(&self) -> anyhow::Result<Counts> {
        self.director.counts()
    }

    fn bounced(&self) -> anyhow::Result<u64> {
        self.director.bounced()
    }

    fn sweep(&mut self) -> anyhow::Result<Swept> {
        self.director.sweep()
    }

    fn inserts(&self, service: u32) -> anyhow::Result<InsertCount> {
        self.director.inserts(service)
    }

    fn capacity(&self) -> Capacity {
        self.director.capacity()
    }

    fn cpus(&self) -> u32 {
        self.director.cpus()
    }
}

/// Whose an interface is.
enum Claim {
    /// This instance's program is attached by this link.
    Ours(XdpLink),
    /// Nobody's. A pinned link may be left of an interface that is gone.
    Free,
}

fn claim(pins: &Pins, interface: &Interface, mode: AttachMode, ports: u32) -> Result<Claim> {
    let (index, instance) = (interface.index, pins.instance.clone());
    if index >= ports {
        return Err(DataplaneError::PortOutOfRange {
            interface: interface.name.clone(),
            index,
            entries: ports,
            instance,
        });
    }
    let path = pins.link(index);
    let Some((link, info)) = open_link(&path)?.filter(|(_, info)| info.ifindex != 0) else {
        refuse_other_program(interface)?;
        return Ok(Claim::Free);
    };
    let found = interface.xdp.filter(|xdp| xdp.program == info.program && info.ifindex == index);
    let Some(found) = found.map(|xdp| xdp.mode) else {
        return Err(DataplaneError::OtherNamespace { path, instance });
    };
    let wanted = match mode {
        AttachMode::Auto => found,
        AttachMode::Native => Mode::Native,
        AttachMode::Generic => Mode::Generic,
    };
    if wanted != found {
        return Err(DataplaneError::OtherMode { interface: interface.name.clone(), found, wanted, instance });
    }
    Ok(Claim::Ours(link))
}

fn refuse_other_program(interface: &Interface) -> Result<()> {
    let Some(xdp) = interface.xdp else { return Ok(()) };
    let program = program_name(xdp.program);
    Err(DataplaneError::OtherProgram {
        interface: interface.name.clone(),
        program: program.unwrap_or_else(|| "without a name".into()),
        id: xdp.program,
    })
}

/// The name of a loaded program, if it is there and has one.
#[must_use]
pub fn program_name(id: u32) -> Option<String> {
    let program = loaded_programs().filter_map(std::result::Result::ok).find(|info| info.id() == id)?;
    program.name_as_str().map(ToOwned::to_owned)
}

/// True for an error that another mode may not have: not for an interface that is taken or gone, nor for a lack of
/// privileges or memory.
fn is_for_the_mode(error: &io::Error) -> bool {
    let others = [libc::EBUSY, libc::EEXIST, libc::ENODEV, libc::EPERM, libc::EACCES, libc::ENOMEM];
    !error.raw_os_error().is_some_and(|code| others.contains(&code))
}

/// Detaches a link at once, and removes its pin.
pub(super) fn release(path: &std::path::Path) -> Result<()> {
    if let Some((link, _)) = open_link(path)? {
        link.detach().map_err(DataplaneError::io(format!("detach the link {}", path.display())))?;
    }
    remove_file(path)
}

fn look_up(name: &str) -> Result<Interface> {
    let found = interface::by_name(name).map_err(DataplaneError::io(format!("look at interface {name}")))?;
    found.ok_or_else(|| DataplaneError::NoInterface(name.to_owned()))
}

fn largest_index() -> Result<u32> {
    interface::largest_index().map_err(DataplaneError::io("list the interfaces"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_depends_on_the_mode_makes_it_fall_back() {
        for (code, expected) in [
            (libc::EOPNOTSUPP, true),
            (libc::EINVAL, true),
            (libc::ERANGE, true),
            (libc::EBUSY, false),
            (libc::EEXIST, false),
            (libc::EPERM, false),
        ] {
            assert_eq!(is_for_the_mode(&io::Error::from_raw_os_error(code)), expected, "{code}");
        }
    }
}
