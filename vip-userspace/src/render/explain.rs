//! How an explanation looks: a line for each step, and then what the packet gets.

use anstyle::Style;
use vip_common::Reason;
use vip_userspace::control::protocol::Explanation;

use super::{
    BAD, STRONG,
    table::{Cell, Side, Table},
};

/// The steps of one packet, and what it gets.
pub(crate) fn explanation(told: &Explanation) -> String {
    let mut table = Table::new(&[("STEP", Side::Left), ("FOUND", Side::Left)]);
    for step in &told.steps {
        let style = if step.step == "kernel" && !told.agrees { BAD } else { Style::new() };
        table.row([Cell::plain(&step.step), Cell::styled(&step.found, style)]);
    }
    let action = match told.action.as_str() {
        "pass" => "left to the kernel",
        "drop" => "dropped",
        "transmit" => "sent back out of the same interface",
        _ => "sent out of another interface",
    };
    let why = match (&told.backend, &told.service) {
        (Some(backend), Some(service)) if told.reason == Reason::Forwarded.name() => {
            format!("{}, to {backend} of {service}", told.reason)
        }
        _ => format!("{}: {}", told.reason, told.meaning),
    };
    format!("{}{STRONG}{action}{STRONG:#}: {why}\n", table.text(0))
}
