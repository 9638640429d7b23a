//! A `vip` of another build: the same program, but for one instruction of its director, which says the same in other words.
//! The kernel takes it for another program, as it would take one that was compiled anew.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use memchr::memmem;
use object::{Object as _, ObjectSection as _, SectionKind};
use vip_userspace::dataplane::object::DIRECTOR;

/// Bytes of an instruction (RFC 9669, section 3).
const INSTRUCTION: usize = 8;
/// The only instruction of twice that length, a load of 64 bits.
const WIDE: u8 = 0x18;
/// Jumps if two registers are equal, or not: of 64 bits, and of 32 (RFC 9669, section 4.3). Which of them comes first makes
/// no difference.
const SYMMETRIC: [u8; 4] = [0x1d, 0x5d, 0x1e, 0x5e];

/// Makes one of `program`, beside it in `dir`.
///
/// # Errors
/// There is no director in it, or the file can't be written.
pub fn rebuild(program: &Path, dir: &Path) -> Result<PathBuf> {
    let mut bytes = fs::read(program).with_context(|| format!("read {}", program.display()))?;
    let at = memmem::find(&bytes, DIRECTOR).with_context(|| {
        format!("{} has another director than this test: build it anew", program.display())
    })?;
    let other = in_other_words(DIRECTOR)?;
    bytes[at..at + other.len()].copy_from_slice(&other);
    let path = dir.join("vip-rebuilt");
    fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// The object with one instruction of its entry changed to one that means the same.
fn in_other_words(object: &[u8]) -> Result<Vec<u8>> {
    let file = object::File::parse(object).context("read the object")?;
    let code = file.sections().filter(|section| section.kind() == SectionKind::Text);
    let mut bytes = object.to_vec();
    for (start, len) in code.filter_map(|section| section.file_range()) {
        let mut at = usize::try_from(start)?;
        let end = at + usize::try_from(len)?;
        while at + INSTRUCTION <= end {
            let [opcode, registers] = [bytes[at], bytes[at + 1]];
            if SYMMETRIC.contains(&opcode) && registers >> 4 != registers & 15 {
                bytes[at + 1] = registers.rotate_left(4);
                ensure!(bytes != object, "nothing has changed");
                return Ok(bytes);
            }
            at += if opcode == WIDE { 2 * INSTRUCTION } else { INSTRUCTION };
        }
    }
    anyhow::bail!("no instruction of the object can be said in other words")
}
