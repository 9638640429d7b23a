//! How much of its weight a member has: all of it, none of it, or, while it starts slowly, some eighths. It knows no member.

use std::time::Duration;

/// Steps of a slow start: each is a change of the ring, whose slots then remember.
const STEPS: u32 = 8;

/// A part of a member's weight, in eighths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Part(u8);

impl Part {
    /// Nothing: it is not eligible.
    pub const NONE: Self = Self(0);
    /// All of it.
    pub const ALL: Self = Self(8);

    /// All or nothing.
    #[must_use]
    pub const fn of(is_eligible: bool) -> Self {
        if is_eligible { Self::ALL } else { Self::NONE }
    }

    /// What a member has at `age` after it came up, if it has to grow `over` a time: an eighth at once, then another one
    /// with each seventh of that time, all of it when that is over.
    #[must_use]
    pub fn grown(age: Duration, over: Duration) -> Self {
        if age >= over {
            return Self::ALL;
        }
        let steps = age.as_millis() * u128::from(STEPS - 1) / over.as_millis().max(1);
        Self(u8::try_from(steps + 1).unwrap_or(Self::ALL.0).min(Self::ALL.0))
    }

    /// The same where the largest part that anybody has is `largest`: shares are of what there is.
    #[must_use]
    pub fn among(self, largest: Self) -> Self {
        match largest {
            Self::NONE => self,
            Self(largest) => Self((self.0 * Self::ALL.0).div_ceil(largest).min(Self::ALL.0)),
        }
    }

    /// Eighths of the weight, 0 to 8.
    #[must_use]
    pub const fn eighths(self) -> u32 {
        self.0 as u32
    }

    /// True unless it is nothing.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slow_start_has_eight_steps_the_first_at_once_and_the_last_when_its_time_is_over() {
        let over = Duration::from_secs(70);
        let at = |seconds| Part::grown(Duration::from_secs(seconds), over).eighths();
        assert_eq!([0, 9, 10, 35, 69, 70, 1000].map(at), [1, 1, 2, 4, 7, 8, 8]);
        assert_eq!(Part::grown(Duration::ZERO, Duration::ZERO), Part::ALL);
    }

    #[test]
    fn parts_are_of_what_there_is() {
        let among = |part, largest| Part(part).among(Part(largest)).eighths();
        assert_eq!([among(3, 8), among(1, 1), among(1, 3), among(0, 5), among(5, 5)], [3, 8, 3, 0, 8]);
    }

    proptest! {
        #[test]
        fn a_part_never_shrinks_while_its_member_stays_and_has_eight_values_at_most(
            over in 1..100_000_u64,
            mut ages in prop::collection::vec(0..200_000_u64, 2..50),
        ) {
            ages.sort_unstable();
            let parts: Vec<_> = ages
                .iter()
                .map(|age| Part::grown(Duration::from_millis(*age), Duration::from_millis(over)))
                .collect();
            for pair in parts.windows(2) {
                prop_assert!(pair[0] <= pair[1] && pair[0].is_some());
            }
            for (age, part) in ages.iter().zip(&parts) {
                prop_assert_eq!(*part == Part::ALL, *age >= over);
            }
        }
    }
}
