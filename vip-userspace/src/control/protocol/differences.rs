//! What a reload changes, or would change: in rows, for people and for programs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What sets a configuration apart from what runs.
#[derive(Clone, PartialEq, Eq, Default, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Differences {
    /// What is added, removed and changed; nothing where both ask for the same.
    pub changes: Vec<Change>,
    /// What becomes of the operator's wishes by command, in their order.
    pub wishes: Vec<Wish>,
    /// Some of the changes move flows to other backends: a reload wants `force` for them.
    pub moves_flows: bool,
}

/// One row of it.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Change {
    /// What is done.
    pub action: ChangeAction,
    /// What sort of thing it is done to.
    pub thing: Thing,
    /// Its name; of a member `SERVICE/BACKEND`.
    pub name: String,
    /// Which of its keys is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What it was; absent where it was nothing, and for the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// It moves flows to other backends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moves_flows: bool,
}

/// What is done to a thing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeAction {
    /// It is new.
    Added,
    /// It is no more.
    Removed,
    /// One of its keys has another value.
    Changed,
}

/// A sort of things that a configuration states.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thing {
    /// A key that stands alone.
    Setting,
    /// An interface that the director is attached to.
    Interface,
    /// An interface that leads to backends alone.
    EgressInterface,
    /// Another director.
    Peer,
    /// What is wanted of a VIP.
    Vip,
    /// A service.
    Service,
    /// A backend's part in a service.
    Member,
    /// A backend.
    Backend,
}

impl Thing {
    /// The word for it, as in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Setting => "setting",
            Self::Interface => "interface",
            Self::EgressInterface => "egress-interface",
            Self::Peer => "peer",
            Self::Vip => "vip",
            Self::Service => "service",
            Self::Member => "member",
            Self::Backend => "backend",
        }
    }
}

/// A wish by command, and what becomes of it.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct Wish {
    /// The wish in words: `backend b1 draining in service web`.
    pub wish: String,
    /// What becomes of it.
    pub fate: Fate,
    /// Why it does not hold any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What becomes of a wish by command.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It goes on holding over the file.
    Holds,
    /// The file says the same: it is the file's from now on.
    Fulfilled,
    /// It can't hold any more, and is forgotten.
    Lost,
    /// It is dropped, for the caller asked for that.
    Dropped,
}

impl Differences {
    /// True if a reload would change nothing, and forget nothing that holds.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let is_kept = |wish: &Wish| matches!(wish.fate, Fate::Holds | Fate::Fulfilled);
        self.changes.is_empty() && self.wishes.iter().all(is_kept)
    }

    /// How many rows have that action.
    #[must_use]
    pub fn count(&self, action: ChangeAction) -> usize {
        self.changes.iter().filter(|change| change.action == action).count()
    }
}
