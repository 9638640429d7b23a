//! Who asks at the control socket, and what that lets them do.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Code, Refused};
use crate::model::Others;

/// What a request needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    /// It changes nothing.
    Read,
    /// It changes something.
    Change,
}

/// Somebody who asked for a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Caller {
    /// The user's id.
    pub uid: u32,
    /// The process id; absent where the controller can't see it.
    pub pid: Option<u32>,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "uid {}, pid {pid}", self.uid),
            None => write!(f, "uid {}", self.uid),
        }
    }
}

/// The other end of a connection, as the kernel tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Who it is.
    pub caller: Caller,
    /// Ids of its groups.
    pub groups: Vec<u32>,
}

/// Who may do what: root and the owner all, and so may the group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Id of the user whose controller it is.
    pub owner: u32,
    /// Id of the socket's group.
    pub group: u32,
    /// The same for people.
    pub group_name: String,
    /// What all others may.
    pub others: Others,
}

impl Rules {
    /// Whether the peer may do what needs that right.
    ///
    /// # Errors
    /// It may not ([`Code::NotPermitted`]), and what can be done about it.
    pub fn permit(&self, peer: &Peer, right: Right) -> Result<(), Refused> {
        let uid = peer.caller.uid;
        let is_one_of_us = uid == 0 || uid == self.owner || peer.groups.contains(&self.group);
        let (what, others) = match right {
            _ if is_one_of_us => return Ok(()),
            Right::Read if self.others == Others::Read => return Ok(()),
            Right::Read => ("ask anything", ", or set others = \"read\" in [control]"),
            Right::Change => ("change anything", ""),
        };
        let group = &self.group_name;
        Err(Refused::new(Code::NotPermitted, format!("uid {uid} may not {what} here"))
            .with_remedy(format!("run it as root, or as a member of the group {group}{others}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, groups: &[u32]) -> Peer {
        Peer { caller: Caller { uid, pid: None }, groups: groups.to_vec() }
    }

    fn rules(others: Others) -> Rules {
        Rules { owner: 7, group: 70, group_name: "vip".to_owned(), others }
    }

    #[test]
    fn root_the_owner_and_the_group_may_change_things_and_others_may_not() {
        for others in [Others::None, Others::Read] {
            for one_of_us in [peer(0, &[]), peer(7, &[]), peer(1000, &[1000, 70])] {
                for right in [Right::Read, Right::Change] {
                    assert_eq!(rules(others).permit(&one_of_us, right), Ok(()));
                }
            }
            let refused = rules(others).permit(&peer(1000, &[1000]), Right::Change).expect_err("a stranger");
            assert_eq!(refused.code, Code::NotPermitted);
            assert_eq!(refused.message, "uid 1000 may not change anything here");
            assert_eq!(refused.remedy.as_deref(), Some("run it as root, or as a member of the group vip"));
        }
    }

    #[test]
    fn others_read_where_that_is_allowed() {
        assert_eq!(rules(Others::Read).permit(&peer(1000, &[]), Right::Read), Ok(()));
        let refused = rules(Others::None).permit(&peer(1000, &[]), Right::Read).expect_err("a stranger");
        assert!(refused.remedy.is_some_and(|remedy| remedy.contains("others = \"read\"")));
    }
}
