//! How long a member has been draining, and when that is to end. Times are since the Unix epoch, so that they outlive a
//! controller. It knows no flow.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{BackendName, Intent, Maintenance, MemberKey, ServiceName};

/// Shortest and longest time that a drain can be given.
pub const TIMEOUTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(7 * 24 * 3600));

/// What drains: a member, or, without a service, a whole backend that is in maintenance.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Draining {
    /// The one service; all of them where absent.
    pub service: Option<ServiceName>,
    /// The backend.
    pub backend: BackendName,
}

/// A drain that goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Countdown {
    /// When it began, since the Unix epoch.
    pub since: Duration,
    /// When it ends, whatever flows are left then; never where absent.
    pub until: Option<Duration>,
}

/// All drains that go on.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Drains(BTreeMap<Draining, Countdown>);

impl Drains {
    /// The drains that an earlier controller left.
    #[must_use]
    pub fn adopted(drains: Vec<(Draining, Countdown)>) -> Self {
        Self(drains.into_iter().collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Draining, &Countdown)> {
        self.0.iter()
    }

    /// Whether it goes on.
    #[must_use]
    pub fn contains(&self, draining: &Draining) -> bool {
        self.0.contains_key(draining)
    }

    /// Follows the intent: what drains now and did not before begins at `now`, what drains no more is forgotten.
    pub fn follow(&mut self, intent: &Intent, now: Duration) {
        let wanted = draining(intent);
        self.0.retain(|draining, _| wanted.contains(draining));
        for draining in wanted {
            self.0.entry(draining).or_insert(Countdown { since: now, until: None });
        }
    }

    /// Sets when a drain ends; `None` for never. One that has not begun begins at `now`.
    pub fn set_end(&mut self, draining: Draining, until: Option<Duration>, now: Duration) {
        self.0.entry(draining).or_insert(Countdown { since: now, until: None }).until = until;
    }

    /// The drain that a member is in: that of its backend's maintenance goes before its own.
    #[must_use]
    pub fn of(&self, (service, backend): &MemberKey) -> Option<(&Draining, &Countdown)> {
        let whole = Draining { service: None, backend: backend.clone() };
        let own = Draining { service: Some(service.clone()), backend: backend.clone() };
        self.0.get_key_value(&whole).or_else(|| self.0.get_key_value(&own))
    }
}

/// What drains by the operator's wish, whether it lives or not.
fn draining(intent: &Intent) -> BTreeSet<Draining> {
    let members = intent.draining().map(|(service, backend)| (Some(service.clone()), backend.clone()));
    let backends = intent.in_maintenance().filter(|(_, wish)| *wish == Maintenance::Draining);
    let backends = backends.map(|(backend, _)| (None, backend.clone()));
    members.chain(backends).map(|(service, backend)| Draining { service, backend }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Admin, Backend, Member, Service};

    fn intent() -> Intent {
        let mut intent = Intent::default();
        let backend = Backend { ipv4: Some([10, 0, 0, 1].into()), ..Backend::new(b1()) };
        intent.add_backend(backend).expect("a backend");
        for (name, address) in [("web", "10.200.0.1:80"), ("dns", "10.200.0.1:53/udp")] {
            let service = Service::new(name.parse().expect("a name"), address.parse().expect("an address"));
            intent.add_service(Service { members: vec![Member::new(b1())], ..service }).expect("a service");
        }
        intent
    }

    fn b1() -> BackendName {
        "b1".parse().expect("a name")
    }

    fn whole() -> Draining {
        Draining { service: None, backend: b1() }
    }

    fn own(service: &str) -> Draining {
        Draining { service: service.parse().ok(), backend: b1() }
    }

    #[test]
    fn a_drain_begins_with_the_wish_and_ends_with_it() {
        let (mut intent, mut drains) = (intent(), Drains::default());
        let [early, late] = [10, 20].map(Duration::from_secs);
        intent.set_admin(&b1(), None, Admin::Draining).expect("a member");
        drains.follow(&intent, early);
        drains.set_end(own("web"), Some(late), early);
        intent.set_admin(&b1(), own("dns").service.as_ref(), Admin::Enabled).expect("a member");
        drains.follow(&intent, late);
        let kept: Vec<_> = drains.iter().collect();
        assert_eq!(kept, [(&own("web"), &Countdown { since: early, until: Some(late) })]);
        intent.remove_service(&own("web").service.expect("a name")).expect("a service");
        drains.follow(&intent, late);
        assert_eq!(drains.iter().count(), 0);
    }

    #[test]
    fn maintenance_goes_before_a_member_s_own_drain_and_leaves_it_as_it_was() {
        let (mut intent, mut drains) = (intent(), Drains::default());
        let [early, late] = [10, 20].map(Duration::from_secs);
        let web = own("web").service.expect("a name");
        intent.set_admin(&b1(), Some(&web), Admin::Draining).expect("a member");
        drains.follow(&intent, early);
        drains.set_end(own("web"), Some(Duration::from_secs(99)), early);
        intent.set_maintenance(&b1(), Maintenance::Draining).expect("a backend");
        drains.follow(&intent, late);
        for service in [web.clone(), own("dns").service.expect("a name")] {
            let found = drains.of(&(service.clone(), b1())).expect("it drains");
            assert_eq!(found, (&whole(), &Countdown { since: late, until: None }));
            assert_eq!(intent.admin(&service, &b1()), Admin::Draining);
        }
        intent.set_maintenance(&b1(), Maintenance::Off).expect("a backend");
        drains.follow(&intent, late);
        let own_drain = Countdown { since: early, until: Some(Duration::from_secs(99)) };
        assert_eq!(drains.of(&(web, b1())), Some((&own("web"), &own_drain)));
        assert_eq!(drains.of(&("dns".parse().expect("a name"), b1())), None);
    }
}
