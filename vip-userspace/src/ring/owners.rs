//! The owners of a ring's slots, two bytes each where their ids are close to each other: those of one service nearly always
//! are.

use std::sync::Arc;

use vip_common::MemberId;

/// Who gets the new flows of each slot. Copies are cheap: they share until one of them changes.
#[derive(Clone, Debug)]
pub(super) enum Owners {
    /// By how much each id is above `lowest`; [`NOBODY`] for nobody.
    Near { lowest: u32, above: Arc<[u16]> },
    /// The ids themselves.
    Far(Arc<[MemberId]>),
}

/// Where ids are near: that of nobody.
const NOBODY: u16 = u16::MAX;

impl Owners {
    pub(super) fn new(owners: impl Iterator<Item = MemberId> + Clone) -> Self {
        let lowest = owners.clone().filter(|owner| *owner != MemberId::NOBODY).min().map_or(0, |id| id.0);
        let near: Option<Arc<[u16]>> = owners.clone().map(|owner| above(lowest, owner)).collect();
        match near {
            Some(above) => Self::Near { lowest, above },
            None => Self::Far(owners.collect()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Near { above, .. } => above.len(),
            Self::Far(owners) => owners.len(),
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Near { lowest, above }, Self::Near { lowest: its, above: other }) => {
                lowest == its && Arc::ptr_eq(above, other)
            }
            (Self::Far(owners), Self::Far(other)) => Arc::ptr_eq(owners, other),
            _ => false,
        }
    }

    /// # Panics
    /// There are not so many.
    pub(super) fn at(&self, index: usize) -> MemberId {
        match self {
            Self::Near { lowest, above } => near(*lowest, above[index]),
            Self::Far(owners) => owners[index],
        }
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = MemberId> + Clone {
        (0..self.len()).map(|index| self.at(index))
    }

    /// What each owner is for somebody, who is asked once for each where they are near, and for each slot where they are far.
    pub(super) fn iter_as<T: Copy>(&self, asked: impl Fn(MemberId) -> T) -> Vec<T> {
        match self {
            Self::Near { lowest, above } => {
                let highest = above.iter().filter(|above| **above != NOBODY).max().copied().unwrap_or(0);
                let mut known = vec![None; usize::from(highest) + 1];
                let mut nobody = None;
                let mut one = |above: &u16| {
                    let known = known.get_mut(usize::from(*above)).unwrap_or(&mut nobody);
                    *known.get_or_insert_with(|| asked(near(*lowest, *above)))
                };
                above.iter().map(&mut one).collect()
            }
            Self::Far(owners) => owners.iter().map(|owner| asked(*owner)).collect(),
        }
    }

    /// The slots that have another owner there.
    pub(super) fn differing(&self, other: &Self) -> Vec<u32> {
        match (self, other) {
            (Self::Near { lowest, above }, Self::Near { lowest: its, above: other }) if lowest == its => {
                differing(above.iter(), other.iter())
            }
            _ => differing(self.iter(), other.iter()),
        }
    }

    /// # Panics
    /// There are not so many.
    pub(super) fn set_all(&mut self, changes: impl ExactSizeIterator<Item = (u32, MemberId)> + Clone) {
        // Where most of them are new, the lowest one may be.
        if changes.len() < self.len() / 2
            && let Self::Near { lowest, above: near } = self
            && changes.clone().all(|(_, owner)| above(*lowest, owner).is_some())
        {
            let near = Arc::make_mut(near);
            for (index, owner) in changes {
                near[index as usize] = above(*lowest, owner).unwrap_or(NOBODY);
            }
            return;
        }
        let mut owners: Vec<_> = self.iter().collect();
        for (index, owner) in changes {
            owners[index as usize] = owner;
        }
        *self = Self::new(owners.iter().copied());
    }
}

fn differing<T: PartialEq>(one: impl Iterator<Item = T>, other: impl Iterator<Item = T>) -> Vec<u32> {
    (0..).zip(one.zip(other)).filter(|(_, (one, other))| one != other).map(|(index, _)| index).collect()
}

/// By how much an id is above the lowest one, if it is near.
fn above(lowest: u32, owner: MemberId) -> Option<u16> {
    if owner == MemberId::NOBODY {
        return Some(NOBODY);
    }
    let above = owner.0.checked_sub(lowest)?;
    u16::try_from(above).ok().filter(|above| *above != NOBODY)
}

fn near(lowest: u32, above: u16) -> MemberId {
    if above == NOBODY { MemberId::NOBODY } else { MemberId(lowest + u32::from(above)) }
}

impl PartialEq for Owners {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Near { lowest, above }, Self::Near { lowest: its, above: other }) if lowest == its => {
                above == other
            }
            _ => self.iter().eq(other.iter()),
        }
    }
}

impl Eq for Owners {}

impl Default for Owners {
    fn default() -> Self {
        Self::new(std::iter::empty())
    }
}
