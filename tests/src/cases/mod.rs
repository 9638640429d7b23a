//! What each packet gets: one table of cases for the host and for the kernel, of the director in
//! [`world`](crate::world).

mod arp;
mod cramped;
mod datagrams;
mod errors;
mod extensions;
mod forwarded;
mod fragments;
mod icmp;
mod links;
mod malformed;
mod members;
mod neighbours;
mod refused;
mod remembered;
mod resets;
mod tags;
mod ttl;

use vip_common::{Action, MemberId, Reason, headers::Mac};

use crate::{
    packet::{edit, layers::tagged, routed},
    world::{OWN_MAC, mac_of},
};

/// One packet and what it gets.
#[derive(Clone, Debug)]
pub struct Case {
    /// A sentence.
    pub name: String,
    /// What the director has seen before: it may remember.
    pub before: Vec<Vec<u8>>,
    /// As it comes in by the director's port.
    pub frame: Vec<u8>,
    /// What is decided.
    pub expect: Action,
    /// What the frame is then.
    pub after: Vec<u8>,
}

/// All cases.
#[must_use]
pub fn all() -> Vec<Case> {
    let groups = [
        links::cases,
        arp::cases,
        neighbours::cases,
        malformed::cases,
        ttl::cases,
        forwarded::cases,
        refused::cases,
        icmp::cases,
        errors::cases,
        extensions::cases,
        fragments::cases,
        datagrams::cases,
        tags::cases,
        members::cases,
        resets::cases,
        remembered::cases,
    ];
    groups.into_iter().flat_map(|group| group()).collect()
}

/// Cases of a port that has a virtual router's MACs as well.
#[must_use]
pub fn of_virtual_routers() -> Vec<Case> {
    links::of_virtual_routers()
}

/// Cases of the port that takes in what programs of the director's box send.
#[must_use]
pub fn of_inlets() -> Vec<Case> {
    members::of_inlets()
}

/// Cases of a port whose driver leaves no room in front of frames.
#[must_use]
pub fn without_headroom() -> Vec<Case> {
    cramped::cases()
}

impl Case {
    fn passes(name: impl Into<String>, frame: Vec<u8>, reason: Reason) -> Self {
        Self {
            name: name.into(),
            before: Vec::new(),
            after: frame.clone(),
            frame,
            expect: Action::pass(reason),
        }
    }

    fn drops(name: impl Into<String>, frame: Vec<u8>, reason: Reason) -> Self {
        Self {
            name: name.into(),
            before: Vec::new(),
            after: frame.clone(),
            frame,
            expect: Action::drop(reason),
        }
    }

    fn answers(name: impl Into<String>, frame: Vec<u8>, reason: Reason, after: Vec<u8>) -> Self {
        Self { name: name.into(), before: Vec::new(), frame, expect: Action::answer(reason), after }
    }

    /// Out of the port that it came in by, one hop further.
    fn forwards(name: impl Into<String>, frame: Vec<u8>, member: MemberId) -> Self {
        let after = routed(&frame, OWN_MAC, mac_of(member));
        Self { name: name.into(), before: Vec::new(), frame, expect: Action::transmit(member, false), after }
    }

    /// By another port or way out, as the frame `after`.
    fn redirects(
        name: impl Into<String>,
        frame: Vec<u8>,
        (member, ifindex): (MemberId, u32),
        after: Vec<u8>,
    ) -> Self {
        Self {
            name: name.into(),
            before: Vec::new(),
            frame,
            expect: Action::redirect(member, false, ifindex),
            after,
        }
    }

    /// The same, after other frames.
    fn following(self, before: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { before: before.into_iter().collect(), ..self }
    }

    /// The same, for a reason that is counted beside the member.
    fn because(self, reason: Reason) -> Self {
        Self { expect: self.expect.because(reason), ..self }
    }

    /// The same, with VLAN tags that stay.
    fn tagged(self, tags: &[(u16, u16)]) -> Self {
        Self { frame: tagged(&self.frame, tags), after: tagged(&self.after, tags), ..self }
    }

    /// Where the frame is forwarded: it opens a flow.
    fn opening(mut self) -> Self {
        self.expect.opens = true;
        self
    }

    /// The same with Ethernet padding, which is to survive as it is.
    fn padded(mut self, len: usize) -> Self {
        for frame in [&mut self.frame, &mut self.after] {
            let padding = (frame.len()..len).map(|_| 0xa5);
            frame.extend(padding);
        }
        self
    }
}

/// Sends a frame to another destination MAC.
fn to_mac(frame: Vec<u8>, destination: Mac) -> Vec<u8> {
    edit(frame, 0, &destination)
}
