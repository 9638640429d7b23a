//! The marks by which the director's own probes are known on their way out.

use super::MemberId;

/// What is the same in all marks of probes. It is the letter `v`, far from the marks of others, who count from the low
/// bits on.
pub const PROBE_MARK: u32 = 0x7600_0000;
/// The bits of a mark that say whether it is one of a probe. The others are the member's id.
pub const PROBE_MASK: u32 = 0xff00_0000;

/// The mark of probes of a member; `None` for an id that has no room in a mark, which no table of members reaches.
#[must_use]
pub const fn probe_mark(member: MemberId) -> Option<u32> {
    if member.0 & PROBE_MASK == 0 && member.0 != 0 { Some(PROBE_MARK | member.0) } else { None }
}

/// Which member a packet with this mark probes; nobody unless it is a mark of a probe.
#[inline(always)]
#[must_use]
pub const fn probed(mark: u32) -> MemberId {
    if mark & PROBE_MASK == PROBE_MARK { MemberId(mark & !PROBE_MASK) } else { MemberId::NOBODY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_names_its_member_and_no_other_mark_names_one() {
        for id in [1, 2, 1 << 20, 0x00ff_ffff] {
            assert_eq!(probe_mark(MemberId(id)).map(probed), Some(MemberId(id)));
        }
        for id in [0, 0x0100_0000, u32::MAX] {
            assert_eq!(probe_mark(MemberId(id)), None, "{id}");
        }
        for mark in [0, 1, 0x4_0000, 0x7500_0001, 0xf600_0001, u32::MAX] {
            assert_eq!(probed(mark), MemberId::NOBODY, "{mark:#x}");
        }
    }
}
