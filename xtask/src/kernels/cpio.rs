//! The archive that a kernel unpacks as its first file system: cpio in the format `newc`
//! (Documentation/driver-api/early-userspace/buffer-format.rst in the kernel's source). It knows no file of the host.

use std::{collections::BTreeSet, io};

/// Permissions of everything in the guest, where all is root's.
const PERMISSIONS: u32 = 0o755;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const DEVICE: u32 = 0o020_000;

/// An archive that is being written. Directories come by themselves, before what is in them.
pub(crate) struct Archive<W> {
    out: W,
    names: BTreeSet<String>,
}

impl<W: io::Write> Archive<W> {
    /// An empty archive.
    pub(crate) fn new(out: W) -> Self {
        Self { out, names: BTreeSet::new() }
    }

    /// Adds a directory.
    pub(crate) fn directory(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, DIRECTORY | PERMISSIONS, (0, 0), &[])
    }

    /// Adds a file that may be run. One that is already there stays as it is.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.entry(path, REGULAR | PERMISSIONS, (0, 0), content)
    }

    /// Adds a character device.
    pub(crate) fn device(&mut self, path: &str, major_minor: (u32, u32)) -> io::Result<()> {
        self.entry(path, DEVICE | PERMISSIONS, major_minor, &[])
    }

    /// Whether there is something of that name.
    pub(crate) fn contains(&self, path: &str) -> bool {
        self.names.contains(path.trim_matches('/'))
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.record("TRAILER!!!", 0, (0, 0), &[])?;
        self.out.flush()
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) -> io::Result<()> {
        let path = path.trim_matches('/');
        if path.is_empty() || !self.names.insert(path.to_owned()) {
            return Ok(());
        }
        if let Some((above, _)) = path.rsplit_once('/') {
            self.directory(above)?;
        }
        self.record(path, mode, device, content)
    }

    fn record(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> io::Result<()> {
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        let number = u32::try_from(self.names.len()).map_err(io::Error::other)?;
        let (major, minor) = device;
        // Inode, mode, owner, group, links, time, size, device of the file system, device, length of the name, sum.
        let fields = [number, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0];
        let mut head = String::from("070701");
        for field in fields {
            head.push_str(&format!("{field:08x}"));
        }
        head.push_str(name);
        head.push('\0');
        for part in [head.as_bytes(), content] {
            self.out.write_all(part)?;
            self.out.write_all(&[0; 3][..part.len().next_multiple_of(4) - part.len()])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_directories_before_their_files_and_all_of_it_on_words() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file("/bin/true", b"hello").unwrap();
        archive.file("bin/true", b"once is enough").unwrap();
        archive.device("/dev/console", (5, 1)).unwrap();
        assert!(archive.contains("/bin") && archive.contains("bin/true") && !archive.contains("/tmp"));
        archive.finish().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let names: Vec<_> = text
            .match_indices("070701")
            .map(|(at, _)| text[at + 110..].split('\0').next().unwrap())
            .collect();
        assert_eq!(names, ["bin", "bin/true", "dev", "dev/console", "TRAILER!!!"]);
        assert!(text.match_indices("070701").all(|(at, _)| at % 4 == 0));
        let file = text.find("bin/true").unwrap();
        assert_eq!(&text[file - 110 + 14..][..8], "000081ed");
        assert_eq!(&text[file - 110 + 54..][..8], "00000005");
        // 110 bytes and "bin/true\0" are filled up to 120.
        assert_eq!(&text[file - 110 + 120..][..8], "hello\0\0\0");
    }
}
