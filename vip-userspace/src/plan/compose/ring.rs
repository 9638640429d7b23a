//! The slots of one service: its ring with all that it remembers, its turns, its ring for peers. Made anew only as far as
//! what they are made from has changed. It knows members as places in a list, and nothing of MACs and interfaces.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use vip_common::{MemberId, tables::Slot};

use crate::{
    model::{Part, Scheduler},
    ring::{Candidate, MAX_TURNS, RingKey, RingMemory, Terms, stand_in},
};

/// What a service's slots are made from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Recipe {
    pub(super) scheduler: Scheduler,
    pub(super) size: u32,
    pub(super) terms: Terms,
    pub(super) members: Vec<Ingredient>,
    /// Some member is a director: packets from one go to the others.
    pub(super) spares_directors: bool,
}

/// A member, as far as slots are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ingredient {
    pub(super) id: MemberId,
    pub(super) candidate: Candidate,
    /// How much of its weight it has now: none if it is not eligible.
    pub(super) part: Part,
    pub(super) is_alive: bool,
    pub(super) is_director: bool,
}

impl Ingredient {
    /// It with the weight that it has now, in eighths.
    fn now(&self) -> Candidate {
        Candidate { weight: self.candidate.weight.saturating_mul(self.part.eighths()), ..self.candidate }
    }
}

/// The slots of a service. Copies are cheap: they share.
#[derive(Clone, Debug)]
pub(super) struct ServiceRing {
    recipe: Arc<Recipe>,
    /// The owners while everybody lives, as places in the recipe's members.
    base: Arc<[Option<usize>]>,
    memory: RingMemory,
    turns: Option<Turns>,
    peers: Option<Arc<[Slot]>>,
    /// Everybody whom a slot names.
    named: Arc<BTreeSet<MemberId>>,
    /// When the next window ends.
    deadline: Option<Duration>,
    /// The slots are not what the recipe makes: they were found otherwise.
    is_stale: bool,
}

/// An order of turns, in slots of its own.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    /// Turns until the order begins anew: whole rounds, as many as there is room for.
    pub(super) size: u32,
    /// All [`MAX_TURNS`] slots: whoever still counts by an older size finds members too.
    pub(super) slots: Arc<[Slot]>,
}

impl ServiceRing {
    /// Slots of a service that has none yet; or those that an earlier controller left, as `found`.
    pub(super) fn new(recipe: Recipe, found: Option<RingMemory>, key: &RingKey, now: Duration) -> Self {
        let base = base(&recipe, key);
        let owners = owners(&recipe, &base, key);
        let mut memory = found.unwrap_or_else(|| RingMemory::new(&owners));
        turn(&mut memory, &owners, &recipe, now);
        Self {
            peers: peers(&recipe, &base, key),
            base,
            memory,
            turns: turns(&recipe),
            recipe: Arc::new(recipe),
            named: Arc::default(),
            deadline: None,
            is_stale: false,
        }
        .looked_over()
    }

    /// Follows a change of what the slots are made from.
    pub(super) fn follow(&mut self, recipe: Recipe, key: &RingKey, now: Duration) {
        if *self.recipe == recipe && !self.is_stale {
            return;
        }
        let candidates = |recipe: &Recipe| recipe.members.iter().map(|one| one.candidate).collect::<Vec<_>>();
        let is_alike = self.recipe.scheduler == recipe.scheduler
            && self.recipe.size == recipe.size
            && candidates(&self.recipe) == candidates(&recipe);
        if !is_alike {
            self.base = base(&recipe, key);
        }
        let owners = owners(&recipe, &self.base, key);
        turn(&mut self.memory, &owners, &recipe, now);
        self.turns = turns(&recipe);
        self.peers = peers(&recipe, &self.base, key);
        self.recipe = Arc::new(recipe);
        self.is_stale = false;
        *self = self.clone().looked_over();
    }

    /// Takes the slots as they were found: they were not published as they should have been.
    pub(super) fn correct(&mut self, found: &Arc<[Slot]>, now: Duration) {
        self.memory.correct(found, now);
        self.is_stale = true;
    }

    /// Ends the windows that are over.
    pub(super) fn settle(&mut self, now: Duration) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.memory.settle(now, self.recipe.terms.window);
            *self = self.clone().looked_over();
        }
    }

    /// Stops tracking what a sweep did not find held. Where every flow is tracked, slots have nothing to wait for.
    pub(super) fn untrack(&mut self, began: Duration, held: impl Fn(u32) -> bool) {
        let always = self.turns.is_some();
        self.memory.untrack(began, |slot| !always && held(slot));
    }

    pub(super) fn memory(&self) -> &RingMemory {
        &self.memory
    }

    pub(super) fn turns(&self) -> Option<&Turns> {
        self.turns.as_ref()
    }

    pub(super) fn peers(&self) -> Option<&Arc<[Slot]>> {
        self.peers.as_ref()
    }

    pub(super) fn names(&self, id: MemberId) -> bool {
        self.named.contains(&id)
    }

    /// The window of the service.
    pub(super) fn window(&self) -> Duration {
        self.recipe.terms.window
    }

    /// True while flows of it may be written.
    pub(super) fn tracks(&self) -> bool {
        self.turns.is_some() || self.memory.tracked() > 0
    }

    fn looked_over(mut self) -> Self {
        let turns = self.turns.iter().flat_map(|turns| turns.slots.iter());
        let all =
            self.memory.slots().iter().chain(turns).chain(self.peers.iter().flat_map(|peers| peers.iter()));
        let mut named = BTreeSet::new();
        let mut last = Slot::of(MemberId::NOBODY);
        for slot in all.filter(|slot| **slot != Slot::of(MemberId::NOBODY)) {
            // Runs are common, and looking into the set is not free.
            if *slot != last {
                named.extend([slot.current, slot.settled()]);
                last = *slot;
            }
        }
        self.named = Arc::new(named);
        self.deadline = self.memory.deadline(self.recipe.terms.window);
        self
    }
}

fn candidates(recipe: &Recipe) -> Vec<Candidate> {
    recipe.members.iter().map(|member| member.candidate).collect()
}

fn base(recipe: &Recipe, key: &RingKey) -> Arc<[Option<usize>]> {
    recipe.scheduler.ring(&candidates(recipe), recipe.size, key).into()
}

fn owners(recipe: &Recipe, base: &[Option<usize>], key: &RingKey) -> Vec<MemberId> {
    let parts: Vec<_> = recipe.members.iter().map(|member| member.part).collect();
    let owners = stand_in(base, &candidates(recipe), &parts, key);
    owners.into_iter().map(|owner| id(recipe, owner)).collect()
}

fn turn(memory: &mut RingMemory, owners: &[MemberId], recipe: &Recipe, now: Duration) {
    let alive: BTreeSet<_> =
        recipe.members.iter().filter(|member| member.is_alive).map(|member| member.id).collect();
    memory.turn(owners, |id| !alive.contains(&id), recipe.terms, now);
}

fn turns(recipe: &Recipe) -> Option<Turns> {
    let eligible: Vec<_> = recipe.members.iter().map(|member| member.part.is_some()).collect();
    let candidates: Vec<_> = recipe.members.iter().map(Ingredient::now).collect();
    let order = recipe.scheduler.turns(&candidates, &eligible)?;
    let order: Vec<_> = order.into_iter().map(|at| id(recipe, Some(at))).collect();
    // Without anybody it is nobody's turn.
    let order = if order.is_empty() { vec![MemberId::NOBODY] } else { order };
    let one = u32::try_from(order.len()).unwrap_or(MAX_TURNS).min(MAX_TURNS);
    let slots = order.iter().cycle().take(MAX_TURNS as usize).map(|member| Slot::of(*member)).collect();
    Some(Turns { size: MAX_TURNS / one * one, slots })
}

/// The ring for packets from another director: nothing of it is remembered, since nobody but that director chose.
fn peers(recipe: &Recipe, base: &[Option<usize>], key: &RingKey) -> Option<Arc<[Slot]>> {
    if !recipe.spares_directors {
        return None;
    }
    let part = |member: &Ingredient| if member.is_director { Part::NONE } else { member.part };
    let others: Vec<_> = recipe.members.iter().map(part).collect();
    let owners = stand_in(base, &candidates(recipe), &others, key);
    Some(owners.into_iter().map(|owner| Slot::of(id(recipe, owner))).collect())
}

fn id(recipe: &Recipe, owner: Option<usize>) -> MemberId {
    owner.and_then(|at| recipe.members.get(at)).map_or(MemberId::NOBODY, |member| member.id)
}
