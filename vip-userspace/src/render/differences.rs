//! What a reload changes, as a table.

use anstyle::Style;
use vip_userspace::control::protocol::{Change, ChangeAction, Differences, Fate};

use super::{
    BAD, GOOD, STRONG, WARNING,
    table::{Cell, Side, Table},
};

/// What a reload would change.
pub(crate) fn differences(found: &Differences) -> String {
    let mut text = rows(found);
    if found.changes.is_empty() {
        text += "no differences\n";
    }
    text += &wishes(found);
    if found.moves_flows {
        text += &format!(
            "{WARNING}flows would move to other backends, and break: only `vip reload --force` does that{WARNING:#}\n"
        );
    }
    text
}

/// What a reload has changed.
pub(crate) fn reloaded(changed: &Differences) -> String {
    let [added, removed, altered] = [ChangeAction::Added, ChangeAction::Removed, ChangeAction::Changed]
        .map(|action| changed.count(action));
    let summary =
        format!("{STRONG}reloaded{STRONG:#}: {added} added, {removed} removed, {altered} changed\n");
    rows(changed) + &wishes(changed) + &summary
}

fn rows(found: &Differences) -> String {
    if found.changes.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("CHANGE", Side::Left),
        ("THING", Side::Left),
        ("NAME", Side::Left),
        ("KEY", Side::Left),
        ("NOW", Side::Left),
        ("THEN", Side::Left),
        ("", Side::Left),
    ]);
    for change in &found.changes {
        let Change { action, thing, name, key, before, after, moves_flows } = change;
        let (word, style): (_, Style) = match action {
            ChangeAction::Added => ("added", GOOD),
            ChangeAction::Removed => ("removed", BAD),
            ChangeAction::Changed => ("changed", WARNING),
        };
        let note = if *moves_flows { Cell::styled("moves flows", BAD) } else { Cell::plain("") };
        table.row([
            Cell::styled(word, style),
            Cell::plain(thing.word()),
            Cell::plain(name),
            key.as_ref().map_or_else(|| Cell::plain(""), Cell::plain),
            before.as_ref().map_or_else(|| Cell::plain(""), Cell::plain),
            after.as_ref().map_or_else(|| Cell::plain(""), Cell::plain),
            note,
        ]);
    }
    table.text(0)
}

fn wishes(found: &Differences) -> String {
    let mut text = String::new();
    for wish in &found.wishes {
        let what = &wish.wish;
        text += &match wish.fate {
            Fate::Holds => format!("wish by command, which holds over the file: {what}\n"),
            Fate::Fulfilled => format!("wish by command, which the file has too: {what}\n"),
            Fate::Dropped => format!("{WARNING}wish by command, dropped: {what}{WARNING:#}\n"),
            Fate::Lost => {
                let why = wish.why.as_deref().unwrap_or_default();
                format!(
                    "{WARNING}wish by command, forgotten for it can't hold any more: {what}: {why}{WARNING:#}\n"
                )
            }
        };
    }
    text
}
