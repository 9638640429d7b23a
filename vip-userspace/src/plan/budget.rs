//! How many flows each service may write to the flow table in a period (rule 15): so that no service's flood pushes out
//! the flows of another, nor its own. Pure: what lives is told to it.

use std::collections::BTreeMap;

/// Shares the flow table among the services that track.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Entries of the table, of one address family.
    capacity: u32,
    /// CPUs that write, each for itself.
    cpus: u32,
    /// Number of the period; allowances hold for one.
    period: u32,
    /// Entries that are in use, as far as known, by service id; under [`Budget::GONE`] those of no service.
    live: BTreeMap<u32, u64>,
}

/// What the services of one address family have of their table.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Shares {
    /// Services that track, and share the table.
    pub tracking: u32,
    /// Entries in use, whoever's they are.
    pub live: u64,
}

/// One of so many parts of its quota is what a service may write in a period: what is not known of the table until the
/// next sweep can't fill it.
const PERIODS: u64 = 16;

impl Budget {
    /// Not the number of a service: entries of services that are gone are counted under it, in both families.
    pub const GONE: u32 = 0;

    /// A budget for a table of `capacity` entries and a number of CPUs, before its first period.
    #[must_use]
    pub fn new(capacity: u32, cpus: u32) -> Self {
        Self { capacity, cpus: cpus.max(1), period: 0, live: BTreeMap::new() }
    }

    /// The number of the period.
    #[must_use]
    pub fn period(&self) -> u32 {
        self.period
    }

    /// A new period begins, not one that is `published` already; so many entries of each service id are in use.
    pub fn begin(&mut self, live: BTreeMap<u32, u64>, published: impl IntoIterator<Item = u32>) {
        let latest = published.into_iter().max().unwrap_or_default();
        self.period = self.period.max(latest).wrapping_add(1);
        self.live = live;
    }

    /// Entries in use of a service, or of [`Budget::GONE`] ones.
    #[must_use]
    pub fn live(&self, service: u32) -> u64 {
        self.live.get(&service).copied().unwrap_or_default()
    }

    /// How many entries each CPU may write for a service in this period, while it shares the table of its address family
    /// so: what others hold from when they were fewer is theirs, and only what is free is shared. A tenth of the table is
    /// nobody's: the kernel evicts before the last entry is taken, and who begins to track within a period is given of
    /// what others may already have written.
    #[must_use]
    pub fn allowance(&self, service: u32, shares: Shares) -> u32 {
        let (usable, tracking) = (u64::from(self.capacity) * 9 / 10, u64::from(shares.tracking.max(1)));
        let quota = usable / tracking;
        let left = quota.saturating_sub(self.live(service));
        let free = usable.saturating_sub(shares.live) / tracking;
        let per_cpu = left.min(free).min(quota / PERIODS) / u64::from(self.cpus);
        u32::try_from(per_cpu).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_service_alone_has_nine_tenths_of_the_table_and_a_sixteenth_of_that_in_a_period() {
        let mut budget = Budget::new(16_000, 2);
        let alone = |live| Shares { tracking: 1, live };
        assert_eq!(budget.allowance(1, alone(0)), 450);
        budget.begin([(1, 14_000)].into(), []);
        assert_eq!((budget.allowance(1, alone(14_000)), budget.allowance(2, alone(0))), (200, 450));
        budget.begin([(1, 15_000)].into(), []);
        assert_eq!((budget.allowance(1, alone(15_000)), budget.allowance(2, alone(0))), (0, 450));
    }

    #[test]
    fn who_comes_later_gets_nothing_of_what_another_holds() {
        let mut budget = Budget::new(16_000, 2);
        budget.begin([(1, 14_400)].into(), []);
        assert_eq!(budget.allowance(2, Shares { tracking: 2, live: 14_400 }), 0);
        budget.begin([(1, 14_000)].into(), []);
        let shares = Shares { tracking: 2, live: 14_000 };
        assert_eq!((budget.allowance(1, shares), budget.allowance(2, shares)), (0, 100));
    }

    #[test]
    fn a_period_is_none_that_a_packet_may_have_begun() {
        let mut budget = Budget::new(16_000, 2);
        budget.begin(BTreeMap::new(), [7, 41, 0]);
        assert_eq!(budget.period(), 42);
        budget.begin(BTreeMap::new(), [7]);
        assert_eq!(budget.period(), 43);
    }

    proptest! {
        #[test]
        fn whatever_is_written_the_table_is_never_full(
            capacity in 1..100_000_u32,
            cpus in 1..64_u32,
            joins in prop::collection::vec((0..4_u32, any::<bool>()), 1..200),
        ) {
            // All write as much as they may, and nothing ends. At first there is one; then others begin to track, also in the
            // middle of a period, when those before them have written.
            let mut budget = Budget::new(capacity, cpus);
            let (mut services, mut live) = (1, BTreeMap::new());
            for (joining, midway) in joins {
                let known: u64 = live.values().sum();
                let before = if midway { services } else { 0 };
                write(&budget, 1..=before, Shares { tracking: before, live: known }, &mut live);
                services += joining;
                write(&budget, before + 1..=services, Shares { tracking: services, live: known }, &mut live);
                budget.begin(live.clone(), []);
                prop_assert!(live.values().sum::<u64>() <= u64::from(capacity));
            }
        }
    }

    /// Each writes all that it may, on every CPU.
    fn write(
        budget: &Budget,
        services: impl Iterator<Item = u32>,
        shares: Shares,
        live: &mut BTreeMap<u32, u64>,
    ) {
        for service in services {
            *live.entry(service).or_default() += u64::from(budget.allowance(service, shares) * budget.cpus);
        }
    }
}
