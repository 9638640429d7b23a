//! Decides where a backend is, from the kernel's answers so far, and what of that is news. Pure: it asks nobody.

use super::classify::{Sight, Way};
use crate::model::{Neighbour, NoNeighbour, Place};

/// Finds one watched address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finder {
    way: Result<Way, NoNeighbour>,
    sight: Sight,
    /// It does not answer at its MAC.
    is_silent: bool,
    told: Result<Place, NoNeighbour>,
}

impl Default for Finder {
    fn default() -> Self {
        let (way, told) = (Err(NoNeighbour::Pending), Err(NoNeighbour::Pending));
        Self { way, sight: Sight::Open, is_silent: false, told }
    }
}

impl Finder {
    /// Index of the interface that leads to it.
    #[must_use]
    pub const fn egress(&self) -> Option<u32> {
        match self.way {
            Ok(Way::Out(ifindex)) => Some(ifindex),
            Ok(Way::Here) | Err(_) => None,
        }
    }

    /// Takes the way to it. What was known on another interface is forgotten.
    pub fn route(&mut self, way: Result<Way, NoNeighbour>) {
        if self.way != way {
            self.sight = Sight::Open;
        }
        self.way = way;
    }

    /// Takes what the kernel sees on the link. While it asks anew, the last answer holds: an entry that somebody
    /// flushed must not take the backend out. If nobody answers, the kernel says so.
    pub const fn see(&mut self, sight: Sight) {
        if !matches!(sight, Sight::Open) {
            self.sight = sight;
        }
    }

    /// Takes whether it has fallen silent where it is. The kernel may take half a minute to see that.
    pub const fn silence(&mut self, is_silent: bool) {
        self.is_silent = is_silent;
    }

    /// Where it is now, if that was not told yet. `name` names an interface by its index.
    pub fn news(&mut self, name: impl FnOnce(u32) -> String) -> Option<Result<Place, NoNeighbour>> {
        let now = self.way.clone().and_then(|way| match (way, self.sight) {
            (Way::Here, _) => Ok(Place::Here),
            (Way::Out(ifindex), Sight::At(mac)) if !self.is_silent => {
                Ok(Place::Link(Neighbour { mac, ifindex }))
            }
            (Way::Out(ifindex), Sight::At(_) | Sight::Silent) => {
                Err(NoNeighbour::NoMac { interface: name(ifindex) })
            }
            (Way::Out(_), Sight::Open) => Err(NoNeighbour::Pending),
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

    fn news(finder: &mut Finder) -> Option<Result<Place, NoNeighbour>> {
        finder.news(|ifindex| format!("eth{ifindex}"))
    }

    fn found() -> Finder {
        let mut finder = Finder::default();
        finder.route(Ok(Way::Out(7)));
        finder.see(Sight::At(MAC));
        assert_eq!(news(&mut finder), Some(Ok(Place::Link(Neighbour { mac: MAC, ifindex: 7 }))));
        finder
    }

    #[test]
    fn nothing_is_told_until_the_kernel_has_an_answer_and_each_answer_once() {
        let mut finder = Finder::default();
        assert_eq!(news(&mut finder), None);
        finder.route(Ok(Way::Out(7)));
        finder.see(Sight::Open);
        assert_eq!(news(&mut finder), None, "it is being asked for");
        finder.see(Sight::Silent);
        assert_eq!(news(&mut finder), Some(Err(NoNeighbour::NoMac { interface: "eth7".to_owned() })));
        finder.see(Sight::Open);
        assert_eq!(news(&mut finder), None, "asked for once more");
    }

    #[test]
    fn the_last_mac_holds_while_the_kernel_asks_anew() {
        let mut finder = found();
        finder.see(Sight::Open);
        finder.route(Ok(Way::Out(7)));
        assert_eq!(news(&mut finder), None);
        finder.see(Sight::Silent);
        assert!(matches!(news(&mut finder), Some(Err(NoNeighbour::NoMac { .. }))));
    }

    #[test]
    fn who_falls_silent_is_told_and_told_again_once_he_answers() {
        let mut finder = found();
        finder.silence(true);
        assert_eq!(news(&mut finder), Some(Err(NoNeighbour::NoMac { interface: "eth7".to_owned() })));
        finder.see(Sight::At(MAC));
        assert_eq!(news(&mut finder), None, "the kernel does not know yet");
        finder.silence(false);
        assert_eq!(news(&mut finder), Some(Ok(Place::Link(Neighbour { mac: MAC, ifindex: 7 }))));
    }

    #[test]
    fn another_mac_is_told() {
        let mut finder = found();
        let other = Mac([2, 0, 0, 0, 0, 2]);
        finder.see(Sight::At(other));
        assert_eq!(news(&mut finder), Some(Ok(Place::Link(Neighbour { mac: other, ifindex: 7 }))));
    }

    #[test]
    fn a_mac_of_another_interface_does_not_hold() {
        let mut finder = found();
        finder.route(Ok(Way::Out(8)));
        assert_eq!(news(&mut finder), Some(Err(NoNeighbour::Pending)));
        finder.see(Sight::At(MAC));
        assert_eq!(news(&mut finder), Some(Ok(Place::Link(Neighbour { mac: MAC, ifindex: 8 }))));
    }

    #[test]
    fn a_lost_route_is_told_and_the_mac_behind_it_forgotten() {
        let mut finder = found();
        finder.route(Err(NoNeighbour::NoRoute));
        assert_eq!(news(&mut finder), Some(Err(NoNeighbour::NoRoute)));
        finder.route(Ok(Way::Out(7)));
        assert_eq!(news(&mut finder), Some(Err(NoNeighbour::Pending)));
    }

    #[test]
    fn an_address_of_this_box_is_here_and_no_neighbour_is_looked_for() {
        let mut finder = found();
        finder.route(Ok(Way::Here));
        assert_eq!((finder.egress(), news(&mut finder)), (None, Some(Ok(Place::Here))));
        finder.route(Ok(Way::Out(7)));
        assert_eq!(news(&mut finder), Some(Err(NoNeighbour::Pending)));
    }
}
