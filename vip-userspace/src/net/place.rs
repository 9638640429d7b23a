//! Decides where a backend is, from the kernel's answers so far, and what of that is news. Pure: it asks nobody.

use super::classify::Sight;
use crate::model::{Neighbour, NoNeighbour};

/// Where one watched address is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    egress: Result<u32, NoNeighbour>,
    sight: Sight,
    told: Result<Neighbour, NoNeighbour>,
}

impl Default for Place {
    fn default() -> Self {
        Self { egress: Err(NoNeighbour::Pending), sight: Sight::Open, told: Err(NoNeighbour::Pending) }
    }
}

impl Place {
    /// Index of the interface that leads to it.
    #[must_use]
    pub fn egress(&self) -> Option<u32> {
        self.egress.as_ref().ok().copied()
    }

    /// Takes the way to it. What was known on another interface is forgotten.
    pub fn route(&mut self, egress: Result<u32, NoNeighbour>) {
        if self.egress != egress {
            self.sight = Sight::Open;
        }
        self.egress = egress;
    }

    /// Takes what the kernel sees on the link. While it asks anew, the last answer holds: an entry that somebody
    /// flushed must not take the backend out. If nobody answers, the kernel says so.
    pub const fn see(&mut self, sight: Sight) {
        if !matches!(sight, Sight::Open) {
            self.sight = sight;
        }
    }

    /// Where it is now, if that was not told yet. `name` names an interface by its index.
    pub fn news(&mut self, name: impl FnOnce(u32) -> String) -> Option<Result<Neighbour, NoNeighbour>> {
        let now = self.egress.clone().and_then(|ifindex| match self.sight {
            Sight::At(mac) => Ok(Neighbour { mac, ifindex }),
            Sight::Silent => Err(NoNeighbour::NoMac { interface: name(ifindex) }),
            Sight::Open => Err(NoNeighbour::Pending),
        });
        (self.told != now).then(|| {
            self.told = now.clone();
            now
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mac;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn news(place: &mut Place) -> Option<Result<Neighbour, NoNeighbour>> {
        place.news(|ifindex| format!("eth{ifindex}"))
    }

    fn found() -> Place {
        let mut place = Place::default();
        place.route(Ok(7));
        place.see(Sight::At(MAC));
        assert_eq!(news(&mut place), Some(Ok(Neighbour { mac: MAC, ifindex: 7 })));
        place
    }

    #[test]
    fn nothing_is_told_until_the_kernel_has_an_answer_and_each_answer_once() {
        let mut place = Place::default();
        assert_eq!(news(&mut place), None);
        place.route(Ok(7));
        place.see(Sight::Open);
        assert_eq!(news(&mut place), None, "it is being asked for");
        place.see(Sight::Silent);
        assert_eq!(news(&mut place), Some(Err(NoNeighbour::NoMac { interface: "eth7".to_owned() })));
        place.see(Sight::Open);
        assert_eq!(news(&mut place), None, "asked for once more");
    }

    #[test]
    fn the_last_mac_holds_while_the_kernel_asks_anew() {
        let mut place = found();
        place.see(Sight::Open);
        place.route(Ok(7));
        assert_eq!(news(&mut place), None);
        place.see(Sight::Silent);
        assert!(matches!(news(&mut place), Some(Err(NoNeighbour::NoMac { .. }))));
    }

    #[test]
    fn another_mac_is_told() {
        let mut place = found();
        let other = Mac([2, 0, 0, 0, 0, 2]);
        place.see(Sight::At(other));
        assert_eq!(news(&mut place), Some(Ok(Neighbour { mac: other, ifindex: 7 })));
    }

    #[test]
    fn a_mac_of_another_interface_does_not_hold() {
        let mut place = found();
        place.route(Ok(8));
        assert_eq!(news(&mut place), Some(Err(NoNeighbour::Pending)));
        place.see(Sight::At(MAC));
        assert_eq!(news(&mut place), Some(Ok(Neighbour { mac: MAC, ifindex: 8 })));
    }

    #[test]
    fn a_lost_route_is_told_and_the_mac_behind_it_forgotten() {
        let mut place = found();
        place.route(Err(NoNeighbour::NoRoute));
        assert_eq!(news(&mut place), Some(Err(NoNeighbour::NoRoute)));
        place.route(Ok(7));
        assert_eq!(news(&mut place), Some(Err(NoNeighbour::Pending)));
    }
}
