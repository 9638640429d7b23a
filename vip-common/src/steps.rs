//! The steps of the full decision about an IP packet, and their order.
//!
//! In the kernel each step is a global function: it is verified once and by itself, whatever the steps before it found,
//! and its stack is gone when the next one needs it. What a step must know of those before it is in its [`Case`], and
//! counts for nothing until it is checked: the verifier takes it for any bytes.

use crate::{
    Frame, Tables,
    action::{Action, Reason},
    arrival::Arrival,
    deliver::deliver,
    echo::Echo,
    family::Family,
    fragments::follow_first,
    owner::{Owner, owner_of},
    packet::{Layout, MAX_EXTENSIONS, Packet, Part},
    reset::{Resets, dropped_instead, reset},
    rows::{self, Case, Row, row_of},
    tables::MemberId,
};

pub use crate::fragments::remember_first;

/// The steps, however they are called. Each returns a word at most: so much a function in the kernel can return.
pub trait Steps<I: Family> {
    /// Reads the packet: its row, [`Row::Extended`] or [`Row::Read`].
    fn read(&mut self, case: &mut Case<I::Address>) -> Row;
    /// Looks behind one IPv6 extension header: as [`Steps::read`].
    fn look_behind(&mut self, case: &mut Case<I::Address>) -> Row;
    /// Reads the transport header: the packet's row, [`Row::Error`] or [`Row::Read`].
    fn read_transport(&mut self, case: &mut Case<I::Address>) -> Row;
    /// Reads the packet that an ICMP error quotes; true if that is about a flow.
    fn read_quoted(&mut self, case: &mut Case<I::Address>) -> bool;
    /// Finds where the first fragment of a later one's datagram went; true if that is known.
    fn follow_first(&mut self, case: &mut Case<I::Address>) -> bool;
    /// Finds the row of a packet that was read.
    fn row(&mut self, case: &mut Case<I::Address>) -> Row;
    /// Answers an echo request.
    fn answer_echo(&mut self, case: &mut Case<I::Address>) -> Row;
    /// Finds the owner of the flow: an `Owner` as a word.
    fn owner(&mut self, case: &Case<I::Address>) -> u64;
    /// Hands the packet to the owner; true if a member got it. Where a reset is due, the case's action says so, and nothing
    /// has been done.
    fn hand_over(&mut self, case: &mut Case<I::Address>, owner: u64) -> bool;
    /// Remembers where a first fragment went, once it is there; true if the later ones need it.
    fn remember_first(&mut self, case: &Case<I::Address>) -> bool;
    /// Answers a packet that nobody takes: `reason` if that was done, else the reason to drop it.
    fn reset(&mut self, case: &Case<I::Address>, reason: Reason) -> Reason;
}

/// Takes the steps.
#[inline(always)]
pub fn take<I: Family, S: Steps<I>>(steps: &mut S) -> Action {
    let mut case = Case::new();
    let mut row = steps.read(&mut case);
    for _ in 0..MAX_EXTENSIONS {
        if !I::EXTENDS || row != Row::Extended {
            break;
        }
        row = steps.look_behind(&mut case);
    }
    if matches!(row, Row::Read | Row::Extended) {
        row = steps.read_transport(&mut case);
    }
    if row == Row::Error {
        steps.read_quoted(&mut case);
    }
    if row == Row::Read && case.packet.part == Part::Later {
        steps.follow_first(&mut case);
    }
    if matches!(row, Row::Read | Row::Error) {
        row = steps.row(&mut case);
    }
    if row == Row::Echo {
        row = steps.answer_echo(&mut case);
    }
    match row {
        Row::To => {
            let owner = match case.found {
                MemberId::NOBODY => steps.owner(&case),
                found => u64::from(found.0),
            };
            steps.hand_over(&mut case, owner);
        }
        Row::Refused => case.action = Action::drop(Reason::ResetUnknownPort),
        _ => {}
    }
    if case.packet.part == Part::First {
        steps.remember_first(&case);
    }
    let wanted = case.action.reason;
    if dropped_instead(wanted).is_none() {
        return case.action;
    }
    match steps.reset(&case, wanted) {
        counted if counted == wanted => Action::answer(counted),
        counted => Action::drop(counted),
    }
}

/// The steps, called as they are.
pub struct Inline<'a, F: Frame, T: Tables> {
    /// The frame.
    pub frame: &'a mut F,
    /// The tables.
    pub tables: &'a T,
}

impl<I: Layout + Echo + Resets, F: Frame, T: Tables> Steps<I> for Inline<'_, F, T> {
    #[inline(always)]
    fn row(&mut self, case: &mut Case<I::Address>) -> Row {
        row_of::<I, F, T>(self.frame, self.tables, case)
    }

    #[inline(always)]
    fn read(&mut self, case: &mut Case<I::Address>) -> Row {
        rows::read::<I, F, T>(self.frame, self.tables, case)
    }

    #[inline(always)]
    fn look_behind(&mut self, case: &mut Case<I::Address>) -> Row {
        rows::look_behind::<I, F>(self.frame, case)
    }

    #[inline(always)]
    fn read_transport(&mut self, case: &mut Case<I::Address>) -> Row {
        rows::read_transport::<I, F>(self.frame, case)
    }

    #[inline(always)]
    fn answer_echo(&mut self, case: &mut Case<I::Address>) -> Row {
        rows::answer_echo::<I, F, T>(self.frame, self.tables, case)
    }

    #[inline(always)]
    fn read_quoted(&mut self, case: &mut Case<I::Address>) -> bool {
        rows::read_quoted::<I, F>(self.frame, case)
    }

    #[inline(always)]
    fn owner(&mut self, case: &Case<I::Address>) -> u64 {
        owner::<I, T>(self.tables, case)
    }

    #[inline(always)]
    fn hand_over(&mut self, case: &mut Case<I::Address>, owner: u64) -> bool {
        let Some(arrival) = Arrival::of(self.frame, self.tables) else { return false };
        let owner = Owner::of_word(owner);
        let action = deliver::<I, F, T>(self.frame, self.tables, &arrival, &case.service, owner);
        case.action = if action.is_forwarded() {
            action.because(case.action.reason)
        } else if case.from_peer && owner.member == MemberId::NOBODY {
            Action::drop(Reason::PeerLoop)
        } else {
            action
        };
        case.action.member != MemberId::NOBODY
    }

    #[inline(always)]
    fn follow_first(&mut self, case: &mut Case<I::Address>) -> bool {
        follow_first::<I, F, T>(self.frame, self.tables, case)
    }

    #[inline(always)]
    fn remember_first(&mut self, case: &Case<I::Address>) -> bool {
        remember_first::<I, T>(self.tables, case)
    }

    #[inline(always)]
    fn reset(&mut self, case: &Case<I::Address>, reason: Reason) -> Reason {
        reset::<I, F, T>(self.frame, self.tables, &case.packet, reason)
    }
}

/// [`Steps::owner`], which needs no frame.
#[inline(always)]
pub fn owner<I: Family, T: Tables>(tables: &T, case: &Case<I::Address>) -> u64 {
    let Packet { flow, segment, part, .. } = &case.packet;
    let Owner { member, opens } =
        owner_of::<I, T, true>(tables, &case.service, flow, segment, case.remembered);
    // A later fragment may come first, and then is remembered; what it belongs to, a SYN or not, it does not say.
    Owner { member, opens: opens && case.remembered && *part != Part::Later }.word()
}
