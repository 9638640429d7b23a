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
    /// Entries that are in use, as far as known, by service id.
    live: BTreeMap<u32, u64>,
}

/// One of so many parts of its quota is what a service may write in a period: what is not known of the table until the
/// next sweep can't fill it.
const PERIODS: u64 = 16;

impl Budget {
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

    /// How many entries each CPU may write for a service in this period, while `tracking` services of its address family
    /// share the table. A tenth of the table is nobody's: the kernel evicts before the last entry is taken.
    #[must_use]
    pub fn allowance(&self, service: u32, tracking: u32) -> u32 {
        let quota = u64::from(self.capacity) * 9 / 10 / u64::from(tracking.max(1));
        let left = quota.saturating_sub(self.live.get(&service).copied().unwrap_or_default());
        let per_cpu = left.min(quota / PERIODS) / u64::from(self.cpus);
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
        assert_eq!(budget.allowance(1, 1), 450);
        budget.begin([(1, 14_000)].into(), []);
        assert_eq!((budget.allowance(1, 1), budget.allowance(2, 1)), (200, 450));
        budget.begin([(1, 15_000)].into(), []);
        assert_eq!((budget.allowance(1, 1), budget.allowance(2, 1)), (0, 450));
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
            services in 1..20_u32,
            periods in 0..200_u32,
        ) {
            // All write as much as they may, and nothing ends.
            let mut budget = Budget::new(capacity, cpus);
            let mut live = BTreeMap::new();
            for _ in 0..periods {
                for service in 1..=services {
                    let written = budget.allowance(service, services) * cpus;
                    *live.entry(service).or_insert(0_u64) += u64::from(written);
                }
                budget.begin(live.clone(), []);
                prop_assert!(live.values().sum::<u64>() <= u64::from(capacity) * 9 / 10);
            }
        }
    }
}
