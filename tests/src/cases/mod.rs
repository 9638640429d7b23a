//! What each packet gets: one table of cases for the host and for the kernel, of the director in
//! [`world`](crate::world).

mod arp;
mod forwarded;
mod links;
mod malformed;
mod neighbours;
mod refused;
mod ttl;

use vip_common::{Action, MemberId, Reason, headers::Mac};

use crate::{
    packet::{edit, routed},
    world::{OWN_MAC, mac_of},
};

/// One packet and what it gets.
#[derive(Clone, Debug)]
pub struct Case {
    /// A sentence.
    pub name: String,
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
    ];
    groups.into_iter().flat_map(|group| group()).collect()
}

impl Case {
    fn passes(name: impl Into<String>, frame: Vec<u8>, reason: Reason) -> Self {
        Self { name: name.into(), after: frame.clone(), frame, expect: Action::pass(reason) }
    }

    fn drops(name: impl Into<String>, frame: Vec<u8>, reason: Reason) -> Self {
        Self { name: name.into(), after: frame.clone(), frame, expect: Action::drop(reason) }
    }

    fn answers(name: impl Into<String>, frame: Vec<u8>, reason: Reason, after: Vec<u8>) -> Self {
        Self { name: name.into(), frame, expect: Action::answer(reason), after }
    }

    /// Out of the port that it came in by, one hop further.
    fn forwards(name: impl Into<String>, frame: Vec<u8>, member: MemberId) -> Self {
        let after = routed(&frame, OWN_MAC, mac_of(member));
        Self { name: name.into(), frame, expect: Action::transmit(member, false), after }
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
