//! The ring against a plain reference: one record a slot, one sentence of the design a line.

use proptest::prelude::*;

use super::*;

const SLOTS: usize = 4;
const MEMBERS: u32 = 5;

/// One slot, by the rules as they are written.
#[derive(Clone, Copy, Debug)]
struct Plain {
    current: u32,
    settled: u32,
    tracked: bool,
    /// Start of the settle window, while it runs.
    departed: Option<u64>,
    /// Since when the slot waits for the sweep.
    reunited: Option<u64>,
}

impl Plain {
    fn turn(&mut self, owner: u32, down: &[bool], on_dead: OnDead, window: u64, now: u64) {
        let is_down = |member: u32| member == 0 || down[member as usize];
        let before = *self;
        if window == 0 {
            *self = Self { current: owner, settled: owner, tracked: false, departed: None, reunited: None };
            return;
        }
        for dead in (0..=MEMBERS).filter(|member| is_down(*member)) {
            if dead != 0 && on_dead != OnDead::Move {
                continue;
            }
            if !before.tracked && before.current == dead {
                *self =
                    Self { current: owner, settled: owner, tracked: false, departed: None, reunited: None };
                return;
            }
            if before.settled == dead {
                self.settled =
                    if before.tracked && !is_down(before.current) { before.current } else { owner };
            }
        }
        self.current = owner;
        if (self.current, self.settled) == (before.current, before.settled) {
            return;
        }
        self.tracked = true;
        if self.current == self.settled {
            (self.departed, self.reunited) = (None, Some(now));
        } else if self.settled != before.settled || before.departed.is_none() {
            (self.departed, self.reunited) = (Some(now), None);
        }
    }

    fn settle(&mut self, now: u64, window: u64) {
        if self.departed.is_some_and(|departed| departed + window <= now) {
            self.settled = self.current;
            (self.departed, self.reunited) = (None, Some(now));
        }
    }

    fn untrack(&mut self, began: u64, held: bool) {
        if self.reunited.is_some_and(|reunited| reunited < began) && !held {
            (self.tracked, self.reunited) = (false, None);
        }
    }

    fn slot(&self) -> Slot {
        let (current, settled) = (MemberId(self.current), MemberId(self.settled));
        if self.tracked { Slot::tracked(current, settled) } else { Slot::of(current) }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// New owners, and who is down by then; a wanted owner is not.
    Turn(Vec<u32>, Vec<bool>),
    Settle,
    Untrack(Vec<bool>),
    Adopt,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let owners = prop::collection::vec(0..=MEMBERS, SLOTS);
    let down = prop::collection::vec(any::<bool>(), MEMBERS as usize + 1);
    let step = prop_oneof![
        6 => (owners, down).prop_map(|(owners, mut down)| {
            owners.iter().for_each(|owner| down[*owner as usize] = false);
            Step::Turn(owners, down)
        }),
        3 => Just(Step::Settle),
        3 => prop::collection::vec(any::<bool>(), SLOTS).prop_map(Step::Untrack),
        1 => Just(Step::Adopt),
        3 => (1..20_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..60)
}

fn on_dead() -> impl Strategy<Value = OnDead> {
    prop::sample::select(vec![OnDead::Move, OnDead::Reset, OnDead::Drop, OnDead::Keep])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn it_is_the_plain_reference(steps in steps(), on_dead in on_dead(), window in 0..30_u64) {
        let plain = Plain { current: 0, settled: 0, tracked: false, departed: None, reunited: None };
        let (mut plain, mut now) = ([plain; SLOTS], 0);
        let mut ring = RingMemory::new(&[MemberId::NOBODY; SLOTS]);
        let terms = Terms { on_dead, window: Duration::from_secs(window) };
        for step in steps {
            let time = Duration::from_secs(now);
            match step {
                Step::Turn(owners, down) => {
                    let owners: Vec<_> = owners.into_iter().map(MemberId).collect();
                    ring.turn(&owners, |member| down[member.0 as usize], terms, time);
                    for (plain, owner) in plain.iter_mut().zip(owners) {
                        plain.turn(owner.0, &down, on_dead, window, now);
                    }
                }
                Step::Settle => {
                    ring.settle(time, terms.window);
                    plain.iter_mut().for_each(|plain| plain.settle(now, window));
                }
                Step::Untrack(held) => {
                    ring.untrack(time, |index| held[index as usize]);
                    plain.iter_mut().zip(held).for_each(|(plain, held)| plain.untrack(now, held));
                }
                Step::Adopt => {
                    ring = RingMemory::adopt(ring.slots().clone(), time);
                    for plain in &mut plain {
                        plain.departed = plain.departed.map(|_| now);
                        plain.reunited = plain.reunited.map(|_| now);
                    }
                }
                Step::Wait(seconds) => now += seconds,
            }
            prop_assert_eq!(ring.slots().iter().collect::<Vec<_>>(), plain.map(|plain| plain.slot()).to_vec());
            let deadline = plain.iter().filter_map(|plain| plain.departed).min();
            let deadline = deadline.map(|departed| Duration::from_secs(departed + window));
            prop_assert_eq!(ring.deadline(terms.window), deadline);
            prop_assert_eq!(ring.tracked(), plain.iter().filter(|plain| plain.tracked).count());
            prop_assert_eq!(ring.departed(), plain.iter().filter(|plain| plain.departed.is_some()).count());
        }
    }
}
