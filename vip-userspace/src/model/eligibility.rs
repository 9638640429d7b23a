//! Which members get new flows, which keep those that they have, and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Cause, Mac};

/// What probing says of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No probe has ended yet.
    Unknown,
    /// It answers.
    Up,
    /// It does not.
    Down,
}

/// Where a backend is on the link, from the kernel's routes and neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Its MAC.
    pub mac: Mac,
    /// Index of the interface that leads to it.
    pub ifindex: u32,
}

/// Where a backend is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// On the link.
    Link(Neighbour),
    /// It is this very box: its address is a local one.
    Here,
}

impl Place {
    /// Where it is on the link.
    #[must_use]
    pub const fn neighbour(self) -> Option<Neighbour> {
        match self {
            Self::Link(neighbour) => Some(neighbour),
            Self::Here => None,
        }
    }
}

/// Why a backend can't be reached on the link.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", tag = "code")]
pub enum NoNeighbour {
    /// The kernel has not been asked yet.
    #[error("the kernel has not answered yet")]
    Pending,
    /// No route leads to it.
    #[error("no route leads to it")]
    NoRoute,
    /// A route leads to it by a gateway: layer 2 ends there.
    #[error("it is behind the gateway {gateway}: direct server return needs it on the same link")]
    NotOnLink {
        /// The gateway.
        gateway: std::net::IpAddr,
    },
    /// The link that led to it is down.
    #[error("no link: {interface} is down")]
    NoLink {
        /// Name of the interface.
        interface: String,
    },
    /// Nobody answers ARP or neighbour discovery for it.
    #[error("nobody answers for its address on {interface}")]
    NoMac {
        /// Name of the interface that the question went out by.
        interface: String,
    },
    /// The way out is no interface that the director can send by.
    #[error("the way to it is {interface}, which is none of the director's interfaces")]
    NotAPort {
        /// Name of the interface.
        interface: String,
    },
}

/// Why a member gets no new flows.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum Ineligible {
    /// Out by the operator's wish.
    #[error("disabled")]
    Disabled,
    /// It can't be reached on the link.
    #[error("{}", layer(.0))]
    NoNeighbour(NoNeighbour),
    /// It is checked, and no probe has ended yet.
    #[error("not probed yet")]
    NotProbed,
    /// Its check fails: what the last probe met.
    #[error("down: {0}")]
    Down(Box<Cause>),
    /// By the operator's wish it keeps its flows and gets no others.
    #[error("draining")]
    Draining,
    /// By the operator's wish for its whole backend.
    #[error("its backend is in maintenance")]
    Maintenance,
    /// By its weight.
    #[error("weight 0")]
    WeightZero,
    /// It is a backup, and not needed.
    #[error("a backup: enough other members are eligible")]
    Backup,
}

/// What is missing, by its layer.
fn layer(why: &NoNeighbour) -> String {
    match why {
        NoNeighbour::NoLink { .. } => why.to_string(),
        _ => format!("no neighbour: {why}"),
    }
}

/// What flows a member gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// New ones, and its older ones.
    Eligible(Place),
    /// Only those that it has: it is alive.
    Draining(Place, Ineligible),
    /// None: what becomes of its older ones, the service's [`OnDead`](super::OnDead) says.
    Down(Ineligible),
}

impl Standing {
    /// True if it gets new flows.
    #[must_use]
    pub const fn is_eligible(&self) -> bool {
        matches!(self, Self::Eligible(_))
    }

    /// True for one that may come in as soon as it has answered.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::Down(
                Ineligible::NotProbed
                    | Ineligible::NoNeighbour(NoNeighbour::Pending | NoNeighbour::NoMac { .. })
            )
        )
    }

    /// True if it keeps its flows.
    #[must_use]
    pub const fn is_alive(&self) -> bool {
        !matches!(self, Self::Down(_))
    }

    /// Where its packets go, if it is alive.
    #[must_use]
    pub const fn place(&self) -> Option<Place> {
        match self {
            Self::Eligible(place) | Self::Draining(place, _) => Some(*place),
            Self::Down(_) => None,
        }
    }

    /// Why it gets no new flows.
    #[must_use]
    pub const fn why_not(&self) -> Option<&Ineligible> {
        match self {
            Self::Eligible(_) => None,
            Self::Draining(_, why) | Self::Down(why) => Some(why),
        }
    }
}

impl Standing {
    /// The same, where it is the maintenance of its backend that stands behind the operator's wish for the member.
    pub(super) fn by_maintenance(self) -> Self {
        match self {
            Self::Draining(place, Ineligible::Draining) => Self::Draining(place, Ineligible::Maintenance),
            Self::Down(Ineligible::Disabled) => Self::Down(Ineligible::Maintenance),
            standing => standing,
        }
    }
}

/// Decides what flows a member gets by what concerns it alone: whether a backup is needed is not looked at.
///
/// `health` is `None` for a member whose service has no check; `cause` is what its last failed probe met. The first of
/// the reasons of [`Ineligible`] that holds is told.
pub(super) fn standing(
    admin: Admin,
    weight: u32,
    place: Result<Place, NoNeighbour>,
    health: Option<Health>,
    cause: Option<&Cause>,
) -> Standing {
    if admin == Admin::Disabled {
        return Standing::Down(Ineligible::Disabled);
    }
    let place = match place {
        Ok(place) => place,
        Err(why) => return Standing::Down(Ineligible::NoNeighbour(why)),
    };
    match health {
        None | Some(Health::Up) => {}
        Some(Health::Unknown) => return Standing::Down(Ineligible::NotProbed),
        Some(Health::Down) => {
            return Standing::Down(Ineligible::Down(Box::new(cause.cloned().unwrap_or(Cause::BeforeStart))));
        }
    }
    match (admin, weight) {
        (Admin::Draining, _) => Standing::Draining(place, Ineligible::Draining),
        (_, 0) => Standing::Draining(place, Ineligible::WeightZero),
        _ => Standing::Eligible(place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_stands_by_the_first_thing_that_speaks_against_it() {
        let here = Place::Link(Neighbour { mac: Mac([2, 0, 0, 0, 0, 1]), ifindex: 7 });
        let nowhere = || Err(NoNeighbour::NoRoute);
        let (up, refused) = (Some(Health::Up), || Ineligible::Down(Box::new(Cause::PortClosed)));
        let (enabled, draining, disabled) = (Admin::Enabled, Admin::Draining, Admin::Disabled);
        let no_neighbour = || Standing::Down(Ineligible::NoNeighbour(NoNeighbour::NoRoute));
        let cases = [
            (enabled, 1, Ok(here), None, Standing::Eligible(here)),
            (enabled, 1, Ok(here), up, Standing::Eligible(here)),
            (enabled, 1, Ok(Place::Here), up, Standing::Eligible(Place::Here)),
            (enabled, 0, Ok(here), up, Standing::Draining(here, Ineligible::WeightZero)),
            (draining, 0, Ok(here), up, Standing::Draining(here, Ineligible::Draining)),
            (draining, 1, Ok(here), Some(Health::Down), Standing::Down(refused())),
            (enabled, 0, Ok(here), Some(Health::Unknown), Standing::Down(Ineligible::NotProbed)),
            (draining, 1, nowhere(), up, no_neighbour()),
            (enabled, 0, nowhere(), Some(Health::Down), no_neighbour()),
            (disabled, 0, nowhere(), Some(Health::Down), Standing::Down(Ineligible::Disabled)),
        ];
        for (admin, weight, place, health, expected) in cases {
            let found = standing(admin, weight, place, health, Some(&Cause::PortClosed));
            assert_eq!(found, expected, "{admin:?} {weight} {health:?}");
            assert_eq!(found.is_eligible(), found.why_not().is_none());
            assert_eq!(found.is_alive(), found.place().is_some());
        }
    }
}
