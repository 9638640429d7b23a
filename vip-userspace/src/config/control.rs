//! Reads what the file says of the control socket: who may use it.

use super::{problem::Findings, table::Table};
use crate::model::Access;

pub(super) const KEYS: [&str; 2] = ["group", "others"];

/// `[control]`. Whether there is such a group, the machine knows.
pub(super) fn access(root: &Table<'_>, findings: &mut Findings<'_>) -> Access {
    let mut access = Access::default();
    let Some(field) = root.field("control") else { return access };
    let span = root.span_of("control");
    let Some(mut table) = Table::read("control", span, field, findings) else { return access };
    table.allow(&KEYS, findings);
    access.group = table.text("group", findings).map(str::to_owned);
    if access.group.as_deref() == Some("") {
        table.say(
            Some(&table.span_of("group")),
            "group is the name of a group, like \"vip\", not \"\"",
            findings,
        );
    }
    access.others = table.parsed("others", findings).unwrap_or_default();
    access
}
