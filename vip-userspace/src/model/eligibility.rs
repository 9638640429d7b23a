//! Which members get new flows, and why the others do not.

use serde::{Deserialize, Serialize};

use super::{Admin, Mac};

/// What probing says of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
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

/// Why a backend can't be reached on the link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
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
    /// It is an address of this box.
    #[error("it is an address of this box")]
    Local,
    /// Nobody answers ARP or neighbour discovery for it.
    #[error("nobody answers for its address on {interface}: its MAC is not known")]
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
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum Ineligible {
    /// By the operator's wish.
    #[error("disabled")]
    Disabled,
    /// By its weight.
    #[error("weight 0")]
    WeightZero,
    /// It can't be reached on the link.
    #[error("no neighbour: {0}")]
    NoNeighbour(NoNeighbour),
    /// It is checked, and no probe has ended yet.
    #[error("not probed yet")]
    NotProbed,
    /// Its check fails.
    #[error("down: {cause}")]
    Down {
        /// What the last probe met.
        cause: String,
    },
}

/// Decides whether a member gets new flows: where to send them, or why not.
///
/// `health` is `None` for a member whose service has no check; `cause` is what its last failed probe met.
///
/// # Errors
/// The first of the reasons that holds, in the order of [`Ineligible`].
pub fn eligible(
    admin: Admin,
    weight: u32,
    neighbour: &Result<Neighbour, NoNeighbour>,
    health: Option<Health>,
    cause: &str,
) -> Result<Neighbour, Ineligible> {
    if admin == Admin::Disabled {
        return Err(Ineligible::Disabled);
    }
    if weight == 0 {
        return Err(Ineligible::WeightZero);
    }
    let neighbour = neighbour.clone().map_err(Ineligible::NoNeighbour)?;
    match health {
        None | Some(Health::Up) => Ok(neighbour),
        Some(Health::Unknown) => Err(Ineligible::NotProbed),
        Some(Health::Down) => Err(Ineligible::Down { cause: cause.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_eligible_only_if_nothing_speaks_against_it() {
        let here = Ok(Neighbour { mac: Mac([2, 0, 0, 0, 0, 1]), ifindex: 7 });
        let nowhere = Err(NoNeighbour::NoRoute);
        let cases = [
            (Admin::Enabled, 1, &here, None, here.clone().map_err(|_| Ineligible::NotProbed)),
            (Admin::Enabled, 1, &here, Some(Health::Up), here.clone().map_err(|_| Ineligible::NotProbed)),
            (Admin::Disabled, 1, &here, Some(Health::Up), Err(Ineligible::Disabled)),
            (Admin::Enabled, 0, &here, Some(Health::Up), Err(Ineligible::WeightZero)),
            (
                Admin::Enabled,
                1,
                &nowhere,
                Some(Health::Up),
                Err(Ineligible::NoNeighbour(NoNeighbour::NoRoute)),
            ),
            (Admin::Enabled, 1, &here, Some(Health::Unknown), Err(Ineligible::NotProbed)),
            (Admin::Enabled, 1, &here, Some(Health::Down), Err(Ineligible::Down { cause: "refused".into() })),
        ];
        for (admin, weight, neighbour, health, expected) in cases {
            assert_eq!(
                eligible(admin, weight, neighbour, health, "refused"),
                expected,
                "{admin:?} {weight} {health:?}"
            );
        }
    }
}
