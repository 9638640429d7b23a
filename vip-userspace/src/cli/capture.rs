//! A file of traced packets, with what each of them got as its comment: pcapng (draft-ietf-opsawg-pcapng), which Wireshark and
//! its kin read. What is written is in the file at once.

use std::{
    borrow::Cow,
    fs::{File, Permissions},
    io::{BufWriter, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use pcap_file::{
    DataLink, PcapError,
    pcapng::{
        PcapNgBlock as _, PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
        },
    },
};
use vip_common::trace::HEAD_LEN;
use vip_userspace::control::{Code, Refused, protocol::TracedPacket};

use crate::render;

/// Times are in units of 10⁻⁹ s.
const NANOSECONDS: u8 = 9;

/// The file.
pub(super) struct Capture {
    path: PathBuf,
    file: PcapNgWriter<BufWriter<File>>,
    /// The interfaces that it has described, in this order.
    interfaces: Vec<String>,
}

/// A file that can be written, and is as it was before.
pub(super) struct Chosen {
    path: PathBuf,
    file: File,
}

impl Chosen {
    /// Opens it, or makes an empty one.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn open(path: &Path) -> Result<Self, Refused> {
        // It shows what clients send: for its owner alone.
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(|error| failed(path, &PcapError::IoError(error)))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Begins it anew.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn begin(self) -> Result<Capture, Refused> {
        let Self { path, file } = self;
        // One that was there may have been for others as well.
        let own = file.set_permissions(Permissions::from_mode(0o600));
        let emptied = own.and_then(|()| file.set_len(0)).map_err(PcapError::IoError);
        let file = emptied.and_then(|()| PcapNgWriter::new(BufWriter::new(file)));
        let file = file.map_err(|error| failed(&path, &error))?;
        let mut capture = Capture { path, file, interfaces: Vec::new() };
        capture.flush()?;
        Ok(capture)
    }
}

impl Capture {
    /// Adds a packet, of which the file gets the beginning of its frame.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn write(&mut self, packet: &TracedPacket, frame: &[u8]) -> Result<(), Refused> {
        let interface = self.interface(&packet.interface)?;
        let block = EnhancedPacketBlock {
            interface_id: interface,
            timestamp: Duration::from_nanos(packet.unix_ns),
            original_len: packet.length,
            data: Cow::Borrowed(frame),
            options: vec![EnhancedPacketOption::Comment(Cow::Owned(render::trace_words(packet)))],
        };
        self.file.write_block(&block.into_block()).map_err(|error| failed(&self.path, &error))?;
        self.flush()
    }

    /// The number of an interface, which is described where it comes first.
    fn interface(&mut self, name: &str) -> Result<u32, Refused> {
        let number = self.interfaces.iter().position(|known| known == name).unwrap_or(self.interfaces.len());
        if number == self.interfaces.len() {
            let block = InterfaceDescriptionBlock {
                linktype: DataLink::ETHERNET,
                snaplen: u32::try_from(HEAD_LEN).unwrap_or(u32::MAX),
                options: vec![
                    InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
                    InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
                ],
            };
            self.file.write_block(&block.into_block()).map_err(|error| failed(&self.path, &error))?;
            self.interfaces.push(name.to_owned());
        }
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    }

    fn flush(&mut self) -> Result<(), Refused> {
        self.file.get_mut().flush().map_err(|error| failed(&self.path, &PcapError::IoError(error)))
    }
}

fn failed(path: &Path, error: &PcapError) -> Refused {
    Refused::new(Code::Failed, format!("write {}: {error}", path.display()))
}
