//! The decision is compiled twice: whatever comes in, host and kernel must do the same to the last byte.

use std::{cell::RefCell, ops::Range};

use anyhow::{Result, bail};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any},
    prop_oneof,
    sample::Index,
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};
use vip_common::{
    Reason, direct,
    host::{HostFrame, HostTables},
    tables::tick,
};
use vip_fuzz::properties::check;
use vip_tests::{
    cases,
    kernel::{Kernel, Outcome, SHORTEST},
    packet::{IP, hex},
    world::{PORT, now, on_host, tables},
};

/// Frames that are tried.
const FRAMES: u32 = 20_000;
/// A full Ethernet frame, in bytes.
const FULL: usize = 1514;
/// Where most headers lie, in bytes.
const HEADERS: usize = 110;
/// EtherTypes that lead somewhere.
const ETHERTYPES: [[u8; 2]; 5] = [[8, 0], [8, 6], [0x86, 0xdd], [0x81, 0], [0x88, 0xa8]];

/// One thing that happens to a frame on its way.
#[derive(Clone, Debug)]
enum Change {
    /// A byte among the headers becomes another.
    Byte(usize, u8),
    /// A byte anywhere becomes another.
    AnyByte(Index, u8),
    /// A bit among the headers is flipped.
    Bit(usize, u8),
    /// Two bytes among the headers become a number at which something may end.
    Word(usize, u16),
    /// The end is cut off.
    Cut(Index),
    /// More follows.
    Extend(usize, u8),
    /// The rest is replaced.
    Rest(usize, Vec<u8>),
    /// The other way round: one who knows the layout sets source and ports.
    Flow([u8; 8]),
    /// It is to another EtherType.
    EtherType(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let near: Range<usize> = 0..HEADERS;
    let word = prop_oneof![
        0_u16..64,
        Just(u16::MAX),
        Just(0x8000),
        Just(0x1fff),
        Just(0x2000),
        (1_u16..100).prop_map(|less| u16::MAX - less),
        any::<u16>(),
    ];
    prop_oneof![
        4 => (IP..HEADERS, any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::AnyByte(at, byte)),
        3 => (near.clone(), 0..8_u8).prop_map(|(at, bit)| Change::Bit(at, bit)),
        3 => (IP..HEADERS, word).prop_map(|(at, word)| Change::Word(at, word)),
        2 => any::<Index>().prop_map(Change::Cut),
        2 => (1..200_usize, any::<u8>()).prop_map(|(len, byte)| Change::Extend(len, byte)),
        1 => (near, vec(any::<u8>(), 0..100)).prop_map(|(at, bytes)| Change::Rest(at, bytes)),
        2 => any::<[u8; 8]>().prop_map(Change::Flow),
        1 => (0..ETHERTYPES.len()).prop_map(Change::EtherType),
    ]
}

impl Change {
    fn apply(&self, frame: &mut Vec<u8>) {
        let (len, v6) = (frame.len(), frame[12..14] == ETHERTYPES[2]);
        let mut set = |at: usize, bytes: &[u8]| {
            if let Some(place) = frame.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        match self {
            Self::Byte(at, byte) => set(*at, &[*byte]),
            Self::AnyByte(at, byte) => set(at.index(len), &[*byte]),
            Self::Bit(at, bit) => {
                if let Some(place) = frame.get_mut(*at) {
                    *place ^= 1 << bit;
                }
            }
            Self::Word(at, word) => set(*at, &word.to_be_bytes()),
            Self::Cut(at) => frame.truncate(at.index(frame.len() + 1).max(SHORTEST)),
            Self::Extend(len, byte) => frame.resize((frame.len() + len).min(FULL), *byte),
            Self::Rest(at, bytes) => {
                frame.truncate((*at).max(SHORTEST));
                frame.extend(bytes);
            }
            Self::Flow(bytes) => {
                let (source, ports) = if v6 { (IP + 8, IP + 40) } else { (IP + 12, IP + 20) };
                set(source, &bytes[..4]);
                set(ports, &bytes[4..6]);
            }
            Self::EtherType(which) => set(12, &ETHERTYPES[*which]),
        }
    }
}

/// What host and kernel make of a frame after others, and whether that can be right at all.
fn agree(before: &[Vec<u8>], frame: &[u8], host: &HostTables, kernel: &mut Kernel) -> Result<(), String> {
    host.now.set(now());
    for frame in before {
        direct(&mut HostFrame::new(frame, PORT), host);
    }
    kernel.feed(before, PORT).map_err(|error| format!("{error:#}"))?;
    let mut after = HostFrame::new(frame, PORT);
    let action = direct(&mut after, host);
    let wanted = Outcome::of(action, &after.bytes);
    let outcome = kernel.run(frame, PORT).map_err(|error| format!("{error:#}"))?;
    if outcome != wanted {
        return Err(format!("on the host\n  {wanted:?}\nin the kernel\n  {outcome:?}"));
    }
    check(&HostFrame::new(frame, PORT), &after, action, host)
}

#[test]
fn host_and_kernel_agree_on_packets_that_went_through_anything() -> Result<()> {
    let all = cases::all();
    let (host, kernel) = (on_host(&tables()), RefCell::new(Kernel::load(&tables())?));
    let mutate = |which: Index, changes: &[Change]| {
        let mut frame = all[which.index(all.len())].frame.clone();
        changes.iter().for_each(|change| change.apply(&mut frame));
        frame
    };
    // What fails is printed as a frame, to become a case; nothing is kept in files.
    let config = Config { cases: FRAMES, failure_persistence: None, ..Config::default() };
    let changes = (any::<Index>(), vec(change(), 0..6));
    let result = TestRunner::new(config).run(&changes, |(which, changes)| {
        let (case, frame) = (&all[which.index(all.len())], mutate(which, &changes));
        let mut kernel = kernel.borrow_mut();
        let began = tick(now());
        let first = agree(&case.before, &frame, &host, &mut kernel);
        // Host and kernel look at their clocks one after the other. A tick that ends in between makes them differ once, as
        // does a fragment's first one that is forgotten just then.
        let again = first.or_else(|why| {
            match why.contains(Reason::FragmentBeforeFirst.name()) || tick(now()) != began {
                true => agree(&case.before, &frame, &host, &mut kernel),
                false => Err(why),
            }
        });
        again.map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => Ok(()),
        Err(TestError::Fail(why, (which, changes))) => {
            bail!("frame {}\n({changes:?})\n{why}", hex(&mutate(which, &changes)))
        }
        Err(TestError::Abort(why)) => bail!("the run was given up: {why}"),
    }
}
