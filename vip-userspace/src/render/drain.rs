//! How a drain looks, in one line.

use vip_userspace::control::protocol::{DrainEnd, DrainStatus, DrainingMember};

use super::units::{number, time};

/// What is left of a member's drain, and when it ends.
pub(super) fn left(drain: &DrainStatus) -> String {
    if drain.gone {
        return match drain.timeout_seconds {
            Some(_) => "drained".to_owned(),
            None => "drained: no flow is left".to_owned(),
        };
    }
    let mut text = match drain.flows_left {
        Some(left) => flows(left),
        None => "its flows are being counted".to_owned(),
    };
    if let Some(seconds) = drain.unknown_seconds {
        text += &format!(", silent ones unknown for {}", time(seconds));
    }
    if let Some(seconds) = drain.timeout_seconds {
        text += &format!("; disabled in {}", time(seconds));
    }
    text
}

/// The same of all members of a backend together, for whoever waits.
pub(crate) fn progress(backend: &str, members: &[DrainingMember]) -> String {
    let drains = || members.iter().filter_map(|member| member.drain);
    let left = drains().map(|drain| drain.flows_left).try_fold(0, |sum, left| Some(sum + left?));
    let all = DrainStatus {
        maintenance: false,
        seconds: 0,
        flows_left: left,
        unknown_slots: drains().map(|drain| drain.unknown_slots).sum(),
        unknown_seconds: drains().filter_map(|drain| drain.unknown_seconds).max(),
        timeout_seconds: drains().filter_map(|drain| drain.timeout_seconds).max(),
        gone: drains().all(|drain| drain.gone),
    };
    format!("{backend}: {}", self::left(&all))
}

/// What is said when all of them have come to their end.
pub(crate) fn ended(backend: &str, ends: &[DrainEnd], is_disabled: bool) -> String {
    let then = if is_disabled { ": it is disabled now" } else { "" };
    if ends.iter().all(|end| !end.timed_out) {
        return format!("{backend} is drained: no flow is left{then}");
    }
    let left = ends.iter().map(|end| end.flows_left).try_fold(0, |sum, left| Some(sum + left?));
    let left = left.map_or_else(
        || "flows that nobody had counted were left".to_owned(),
        |left| format!("{} left", were(left)),
    );
    let more = match ends.iter().map(|end| end.unknown_slots).sum::<u32>() {
        0 => String::new(),
        slots => format!(", and any that were silent in {slots} slots"),
    };
    format!("{backend}: the time is over with {left}{more}{then}")
}

fn flows(left: u64) -> String {
    match left {
        1 => "1 flow left".to_owned(),
        left => format!("{} flows left", number(left)),
    }
}

fn were(left: u64) -> String {
    if left == 1 { "1 flow".to_owned() } else { format!("{} flows", number(left)) }
}
