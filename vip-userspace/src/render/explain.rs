//! How an explanation looks: a line for each step, and then what the packet gets.

use anstyle::Style;
use vip_common::Reason;
use vip_userspace::{
    control::protocol::{Explanation, TracedPacket},
    model::{BackendName, ServiceName},
};

use super::{
    BAD, STRONG,
    table::{Cell, Side, Table},
};

/// The steps of one packet, and what it gets.
pub(crate) fn explanation(told: &Explanation) -> String {
    let told_of: Got<'_> = told.into();
    format!("{}{STRONG}{}{STRONG:#}: {}\n", steps(told, 0), told_of.action(), told_of.why())
}

/// The steps alone, `indent` blanks from the left.
pub(super) fn steps(told: &Explanation, indent: usize) -> String {
    let mut table = Table::new(&[("STEP", Side::Left), ("FOUND", Side::Left)]);
    for step in &told.steps {
        let style = if step.step == "kernel" && !told.agrees { BAD } else { Style::new() };
        table.row([Cell::plain(&step.step), Cell::styled(&step.found, style)]);
    }
    table.text(indent)
}

/// What a packet got, or would get.
#[derive(Clone, Copy)]
pub(super) struct Got<'a> {
    action: &'a str,
    reason: &'a str,
    meaning: &'a str,
    service: Option<&'a ServiceName>,
    backend: Option<&'a BackendName>,
}

/// The same in words, without colours.
pub(super) fn gets(got: Got<'_>) -> String {
    format!("{}: {}", got.action(), got.why())
}

impl Got<'_> {
    fn action(&self) -> &'static str {
        match self.action {
            "pass" => "left to the kernel",
            "drop" => "dropped",
            "transmit" => "sent back out of the same interface",
            _ => "sent out of another interface",
        }
    }

    fn why(&self) -> String {
        let Self { reason, meaning, .. } = self;
        match (self.backend, self.service) {
            (Some(backend), Some(service)) if *reason == Reason::Forwarded.name() => {
                format!("{reason}, to {backend} of {service}")
            }
            _ => format!("{reason}: {meaning}"),
        }
    }
}

impl<'a> From<&'a Explanation> for Got<'a> {
    fn from(told: &'a Explanation) -> Self {
        let Explanation { action, reason, meaning, service, backend, .. } = told;
        Self { action, reason, meaning, service: service.as_ref(), backend: backend.as_ref() }
    }
}

impl<'a> From<&'a TracedPacket> for Got<'a> {
    fn from(told: &'a TracedPacket) -> Self {
        let TracedPacket { action, reason, meaning, service, backend, .. } = told;
        Self { action, reason, meaning, service: service.as_ref(), backend: backend.as_ref() }
    }
}
