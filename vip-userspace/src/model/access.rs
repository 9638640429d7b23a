//! Who may use the control socket, as the operator states it.

use super::words::words;

/// Who may use the control socket, but for root and the controller's own user: they may do all.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Access {
    /// Name of the group whose members may do all; the controller's own group where absent.
    pub group: Option<String>,
    /// What everybody else may do.
    pub others: Others,
}

words! {
    /// What those may do at the control socket who are neither its owner nor in its group.
    Others is a "right of others" {
        /// Nothing: they can't even connect.
        None = "none",
        /// Ask for whatever changes nothing.
        Read = "read",
    }
}
