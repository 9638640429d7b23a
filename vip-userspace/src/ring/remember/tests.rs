//! Each rule has a case here that fails without it.

use super::*;

const A: MemberId = MemberId(1);
const B: MemberId = MemberId(2);
const C: MemberId = MemberId(3);
const NOBODY: MemberId = MemberId::NOBODY;
const WINDOW: Duration = Duration::from_secs(120);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A ring of one slot, and the time.
struct One {
    ring: RingMemory,
    terms: Terms,
    down: Vec<MemberId>,
}

impl One {
    fn of(owner: MemberId) -> Self {
        let terms = Terms { on_dead: OnDead::Move, window: WINDOW };
        Self { ring: RingMemory::new(&[owner]), terms, down: Vec::new() }
    }

    fn on_dead(mut self, on_dead: OnDead) -> Self {
        self.terms.on_dead = on_dead;
        self
    }

    /// The slot goes to `owner` at `now`.
    fn to(mut self, owner: MemberId, now: u64) -> Self {
        self.ring.turn(&[owner], |member| self.down.contains(&member), self.terms, seconds(now));
        self
    }

    /// These are down from now on, and no others.
    fn down(mut self, down: &[MemberId]) -> Self {
        self.down = down.to_vec();
        self
    }

    fn settle(mut self, now: u64) -> Self {
        self.ring.settle(seconds(now), self.terms.window);
        self
    }

    fn untrack(mut self, began: u64, held: bool) -> Self {
        self.ring.untrack(seconds(began), |_| held);
        self
    }

    fn deadline(&self) -> Option<u64> {
        self.ring.deadline(self.terms.window).map(|deadline| deadline.as_secs())
    }

    fn slot(&self) -> Slot {
        assert_eq!(self.ring.tracked(), usize::from(self.ring.slots().slot(0).is_tracked()));
        self.ring.slots().slot(0)
    }
}

#[test]
fn rule_8_a_slot_that_moves_from_one_who_lives_keeps_its_older_flows_there() {
    let moved = One::of(A).to(B, 10);
    assert_eq!((moved.slot(), moved.deadline()), (Slot::tracked(B, A), Some(130)));
}

#[test]
fn rule_8_a_later_move_does_not_restart_the_window() {
    let moved = One::of(A).to(B, 10).to(C, 100);
    assert_eq!((moved.slot(), moved.deadline()), (Slot::tracked(C, A), Some(130)));
}

#[test]
fn rule_8_a_slot_that_moves_back_is_tracked_until_nothing_is_held_and_the_next_departure_has_a_window_of_its_own()
 {
    let back = One::of(A).to(B, 10).to(A, 20);
    assert_eq!((back.slot(), back.deadline()), (Slot::tracked(A, A), None));
    let again = back.to(B, 30);
    assert_eq!((again.slot(), again.deadline()), (Slot::tracked(B, A), Some(150)));
}

#[test]
fn rule_8_holds_for_a_return_as_for_any_move() {
    let returned = One::of(A).down(&[A]).to(B, 10).down(&[]).to(A, 20);
    assert_eq!((returned.slot(), returned.deadline()), (Slot::tracked(A, B), Some(140)));
}

#[test]
fn rule_8_holds_where_nobody_gets_new_flows() {
    let drained = One::of(A).to(NOBODY, 10);
    assert_eq!((drained.slot(), drained.deadline()), (Slot::tracked(NOBODY, A), Some(130)));
}

#[test]
fn rule_9_an_untracked_slot_of_the_dead_moves_and_stays_untracked() {
    assert_eq!(One::of(A).down(&[A]).to(B, 10).slot(), Slot::of(B));
    assert_eq!(One::of(A).down(&[A]).to(NOBODY, 10).slot(), Slot::of(NOBODY));
}

#[test]
fn rule_9_older_flows_of_the_dead_go_to_who_had_the_new_ones_if_that_lives() {
    // A's flows go to B, who had the new ones; the new ones now go to C: a window from now on.
    let moved = One::of(A).to(B, 10).down(&[A]).to(C, 50);
    assert_eq!((moved.slot(), moved.deadline()), (Slot::tracked(C, B), Some(170)));
    let stays = One::of(A).to(B, 10).down(&[A]).to(B, 50);
    assert_eq!((stays.slot(), stays.deadline()), (Slot::tracked(B, B), None));
    let both = One::of(A).to(B, 10).down(&[A, B]).to(C, 50);
    assert_eq!((both.slot(), both.deadline()), (Slot::tracked(C, C), None));
}

#[test]
fn rule_9_who_had_the_new_flows_and_dies_takes_no_older_one_along() {
    let moved = One::of(A).to(B, 10).down(&[B]).to(C, 50);
    assert_eq!((moved.slot(), moved.deadline()), (Slot::tracked(C, A), Some(130)));
}

#[test]
fn rule_9_a_tracked_slot_of_the_dead_stays_tracked() {
    let reunited = One::of(A).to(B, 10).to(A, 20);
    assert_eq!(reunited.down(&[A]).to(C, 30).slot(), Slot::tracked(C, C));
}

#[test]
fn a_slot_of_nobody_goes_to_the_first_who_comes_whatever_becomes_of_the_dead() {
    for on_dead in [OnDead::Move, OnDead::Reset, OnDead::Drop, OnDead::Keep] {
        assert_eq!(One::of(NOBODY).on_dead(on_dead).to(B, 10).slot(), Slot::of(B));
        let drained = One::of(A).on_dead(on_dead).to(NOBODY, 10);
        assert_eq!(drained.to(B, 20).slot(), Slot::tracked(B, A), "A lives, and keeps its flows");
        let forgotten = One::of(A).on_dead(on_dead).to(NOBODY, 10).settle(200);
        assert_eq!(forgotten.to(B, 300).slot(), Slot::tracked(B, B));
    }
}

#[test]
fn rule_10_older_flows_of_the_dead_stay_its_own_until_the_window_ends() {
    for on_dead in [OnDead::Reset, OnDead::Drop, OnDead::Keep] {
        let dead = One::of(A).on_dead(on_dead).down(&[A]).to(B, 10);
        assert_eq!((dead.slot(), dead.deadline()), (Slot::tracked(B, A), Some(130)));
        let later = dead.to(C, 50);
        assert_eq!((later.slot(), later.deadline()), (Slot::tracked(C, A), Some(130)));
        assert_eq!(later.settle(130).slot(), Slot::tracked(C, C));
    }
}

#[test]
fn rule_11_a_window_is_over_when_it_is_and_not_before() {
    let moved = One::of(A).to(B, 10).settle(129);
    assert_eq!(moved.slot(), Slot::tracked(B, A));
    let over = moved.settle(130);
    assert_eq!((over.slot(), over.deadline()), (Slot::tracked(B, B), None));
}

#[test]
fn rule_11_without_a_window_nothing_is_tracked() {
    for on_dead in [OnDead::Move, OnDead::Reset] {
        let mut alone = One::of(A).on_dead(on_dead);
        alone.terms.window = Duration::ZERO;
        let moved = alone.to(B, 10);
        assert_eq!(moved.slot(), Slot::of(B));
        assert_eq!(moved.down(&[B]).to(C, 20).slot(), Slot::of(C));
    }
}

#[test]
fn rule_12_a_reunited_slot_is_tracked_for_as_long_as_a_flow_lives_elsewhere() {
    let reunited = One::of(A).to(B, 10).to(A, 20);
    assert_eq!(reunited.ring.clone(), reunited.untrack(30, true).ring);
    let reunited = One::of(A).to(B, 10).to(A, 20);
    assert_eq!(reunited.untrack(30, false).slot(), Slot::of(A));
}

#[test]
fn rule_12_a_departed_slot_stays_tracked_though_nothing_is_held() {
    assert_eq!(One::of(A).to(B, 10).untrack(30, false).slot(), Slot::tracked(B, A));
}

#[test]
fn rule_12_a_sweep_says_nothing_of_slots_that_were_reunited_while_it_ran() {
    // A packet that met the slot before may write its entry behind the sweep.
    let reunited = One::of(A).to(B, 10).to(A, 20);
    assert_eq!(reunited.untrack(20, false).slot(), Slot::tracked(A, A));
    let settled = One::of(A).to(B, 10).settle(200);
    assert_eq!(settled.untrack(200, false).slot(), Slot::tracked(B, B));
}

#[test]
fn rule_14_whom_a_slot_names_is_known_until_it_has_forgotten() {
    let names = |one: &One| {
        one.ring.slots().iter().flat_map(|slot| [slot.current, slot.settled()]).collect::<Vec<_>>()
    };
    let moved = One::of(A).on_dead(OnDead::Reset).down(&[A]).to(B, 10);
    assert!(names(&moved).contains(&A));
    assert!(!names(&moved.settle(130)).contains(&A));
}

#[test]
fn rule_16_an_adopted_window_starts_anew() {
    let slots = Ring::from([Slot::of(A), Slot::tracked(B, A), Slot::tracked(C, C)]);
    let mut ring = RingMemory::adopt(slots.clone(), seconds(1000));
    assert!(ring.slots().is_same(&slots));
    assert_eq!((ring.tracked(), ring.departed(), ring.deadline(WINDOW)), (2, 1, Some(seconds(1120))));
    ring.untrack(seconds(1010), |_| false);
    assert_eq!(*ring.slots(), [Slot::of(A), Slot::tracked(B, A), Slot::of(C)].into());
    ring.settle(seconds(1120), WINDOW);
    assert_eq!(ring.slots().slot(1), Slot::tracked(B, B));
}

#[test]
fn slots_that_are_found_otherwise_are_taken_as_they_are_and_the_others_keep_their_windows() {
    let terms = Terms { on_dead: OnDead::Move, window: WINDOW };
    let mut ring = RingMemory::new(&[A, A, A]);
    ring.turn(&[B, A, A], |_| false, terms, seconds(10));
    let found = [ring.slots().slot(0), Slot::tracked(C, A), Slot::of(B)];
    ring.correct(&found.into(), seconds(50));
    assert_eq!((*ring.slots() == found.into(), ring.tracked()), (true, 2));
    ring.settle(seconds(130), WINDOW);
    assert_eq!(*ring.slots(), [Slot::tracked(B, B), Slot::tracked(C, A), Slot::of(B)].into());
    assert_eq!(ring.deadline(WINDOW), Some(seconds(170)));
}

#[test]
fn nothing_is_copied_where_nothing_changes() {
    let mut ring = RingMemory::new(&[A, B, C]);
    let before = ring.slots().clone();
    let terms = Terms { on_dead: OnDead::Move, window: WINDOW };
    ring.turn(&[A, B, C], |_| panic!("a slot that stays asks for nobody"), terms, seconds(1));
    ring.settle(seconds(500), WINDOW);
    ring.untrack(seconds(500), |_| false);
    assert!(ring.slots().is_same(&before));
}

#[test]
fn a_ring_of_another_size_is_a_new_one() {
    let mut ring = RingMemory::new(&[A, B]);
    let terms = Terms { on_dead: OnDead::Move, window: WINDOW };
    ring.turn(&[B, A], |_| false, terms, seconds(1));
    ring.turn(&[A, B, C], |_| false, terms, seconds(2));
    assert_eq!(ring, RingMemory::new(&[A, B, C]));
}
