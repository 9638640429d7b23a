//! The slots of one service: its ring with all that it remembers, its turns, its ring for peers. Made anew only as far as
//! what they are made from has changed. It knows members as places in a list, and nothing of MACs and interfaces.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use vip_common::{MemberId, tables::Slot};

use crate::{
    model::{Part, Scheduler},
    ring::{Candidate, MAX_TURNS, Ring, RingKey, RingMemory, Terms, stand_in},
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
    base: Base,
    memory: RingMemory,
    turns: Option<Turns>,
    peers: Option<Ring>,
    /// When the next window ends.
    deadline: Option<Duration>,
    /// The slots are not what the recipe makes: they were found otherwise.
    is_stale: bool,
}

/// The owners while everybody lives.
#[derive(Clone, Debug)]
enum Base {
    /// Nobody has asked yet: nobody gets new flows.
    Unknown,
    /// Those that the slots have, which is so nearly always: they are not kept twice.
    AtRest,
    /// These, as places in the recipe's members, [`NO_PLACE`] for nobody.
    Kept(Arc<[u32]>),
}

/// In a base: the place of nobody.
const NO_PLACE: u32 = u32::MAX;

/// An order of turns, in slots of its own.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    /// Turns until the order begins anew: whole rounds, as many as there is room for.
    pub(super) size: u32,
    /// All [`MAX_TURNS`] slots: whoever still counts by an older size finds members too.
    pub(super) slots: Ring,
}

impl ServiceRing {
    /// Slots of a service that go on from those that it has: nobody's, or what an earlier controller left.
    pub(super) fn new(recipe: Recipe, memory: RingMemory, key: &RingKey, now: Duration) -> Self {
        let mut ring = Self {
            memory,
            recipe: Arc::new(recipe.clone()),
            base: Base::Unknown,
            turns: None,
            peers: None,
            deadline: None,
            is_stale: true,
        };
        ring.follow(recipe, key, now);
        ring
    }

    /// Follows a change of what the slots are made from.
    pub(super) fn follow(&mut self, recipe: Recipe, key: &RingKey, now: Duration) {
        if *self.recipe == recipe && !self.is_stale {
            return;
        }
        let is_alike = self.recipe.scheduler == recipe.scheduler
            && self.recipe.size == recipe.size
            && candidates(&self.recipe) == candidates(&recipe);
        let is_needed = recipe.members.iter().any(|member| member.part.is_some());
        let known = if is_alike { self.known_base() } else { None };
        // Where nobody gets new flows, a ring that is not known need not be made yet.
        let base = known.or_else(|| is_needed.then(|| base(&recipe, key)));
        let owners = match &base {
            Some(base) => owners(&recipe, base, key),
            None => vec![MemberId::NOBODY; recipe.size as usize],
        };
        turn(&mut self.memory, &owners, &recipe, now);
        self.turns = turns(&recipe);
        self.peers = peers(&recipe, base.as_deref(), key);
        self.base = base.map_or(Base::Unknown, |base| beside(&base, &owners, &recipe));
        self.deadline = self.memory.deadline(recipe.terms.window);
        self.recipe = Arc::new(recipe);
        self.is_stale = false;
    }

    /// The owners while everybody lives, if somebody has asked for them before.
    fn known_base(&self) -> Option<Vec<Option<usize>>> {
        match &self.base {
            Base::Unknown => None,
            Base::Kept(places) => {
                let place = |place: &u32| (*place != NO_PLACE).then_some(*place as usize);
                Some(places.iter().map(place).collect())
            }
            Base::AtRest => {
                let members = self.recipe.members.iter().enumerate();
                let places: HashMap<_, _> = members.map(|(place, member)| (member.id, place)).collect();
                Some(self.memory.slots().owners_as(|owner| places.get(&owner).copied()))
            }
        }
    }

    /// Takes the slots as they were found: they were not published as they should have been.
    pub(super) fn correct(&mut self, found: &Ring, now: Duration) {
        if let Some(base) = self.known_base() {
            self.base = Base::Kept(packed(&base));
        }
        self.memory.correct(found, now);
        self.is_stale = true;
    }

    /// Ends the windows that are over.
    pub(super) fn settle(&mut self, now: Duration) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.memory.settle(now, self.recipe.terms.window);
            self.deadline = self.memory.deadline(self.recipe.terms.window);
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

    pub(super) fn peers(&self) -> Option<&Ring> {
        self.peers.as_ref()
    }

    /// Whether a slot names somebody. New flows go to nobody who is no member.
    pub(super) fn names(&self, id: MemberId) -> bool {
        self.recipe.members.iter().any(|member| member.id == id) || self.memory.remembers(id)
    }

    /// Whether some member is a director.
    pub(super) fn has_directors(&self) -> bool {
        self.recipe.members.iter().any(|member| member.is_director)
    }

    /// The window of the service.
    pub(super) fn window(&self) -> Duration {
        self.recipe.terms.window
    }

    /// True while flows of it may be written.
    pub(super) fn tracks(&self) -> bool {
        self.turns.is_some() || self.memory.tracked() > 0
    }
}

fn candidates(recipe: &Recipe) -> Vec<Candidate> {
    recipe.members.iter().map(|member| member.candidate).collect()
}

fn base(recipe: &Recipe, key: &RingKey) -> Vec<Option<usize>> {
    recipe.scheduler.ring(&candidates(recipe), recipe.size, key)
}

/// How a base is kept beside the slots: not at all if these have just its owners.
fn beside(base: &[Option<usize>], owners: &[MemberId], recipe: &Recipe) -> Base {
    let at_rest = base.iter().zip(owners).all(|(place, owner)| id(recipe, *place) == *owner);
    if at_rest { Base::AtRest } else { Base::Kept(packed(base)) }
}

fn packed(base: &[Option<usize>]) -> Arc<[u32]> {
    let place = |place: &Option<usize>| place.and_then(|place| u32::try_from(place).ok()).unwrap_or(NO_PLACE);
    base.iter().map(place).collect()
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
fn peers(recipe: &Recipe, base: Option<&[Option<usize>]>, key: &RingKey) -> Option<Ring> {
    if !recipe.spares_directors {
        return None;
    }
    let Some(base) = base else {
        return Some(Ring::at_rest(&vec![MemberId::NOBODY; recipe.size as usize]));
    };
    let part = |member: &Ingredient| if member.is_director { Part::NONE } else { member.part };
    let others: Vec<_> = recipe.members.iter().map(part).collect();
    let owners = stand_in(base, &candidates(recipe), &others, key);
    Some(owners.into_iter().map(|owner| Slot::of(id(recipe, owner))).collect())
}

fn id(recipe: &Recipe, owner: Option<usize>) -> MemberId {
    owner.and_then(|at| recipe.members.get(at)).map_or(MemberId::NOBODY, |member| member.id)
}
