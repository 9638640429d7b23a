//! A backend dies under load: how long that goes unnoticed, whom it costs what, and whom it must not.

use std::{
    collections::BTreeMap,
    fmt::Display,
    time::{Duration, Instant},
};

use anyhow::Result;
use vip_userspace::control::Status;

use super::show::{CHECKS, EVERY, OPEN, Show, VICTIM, promise};
use crate::{
    load::{SHORT_PATIENCE, failed},
    stage::{Checks, members},
};

const STEP: &str = "death";
/// Load before the death.
const BEFORE: Duration = Duration::from_millis(1500);
/// Load after its detection: longer than what began before may last.
const AFTER: Duration = Duration::from_millis(1500);
/// How much longer than promised detection may take: the machine is busy, and the death is dated from before its interface is
/// set down.
const SLACK: Duration = Duration::from_millis(350);
/// How long the lab waits for a detection that is too late.
const WITHIN: Duration = Duration::from_secs(10);

/// The moments that matter.
struct Death {
    died: Instant,
    noticed: Instant,
    ended: Instant,
}

pub(super) fn run(show: &mut Show) -> Result<()> {
    let victim = show.victim();
    show.screen.step(&format!("death: {victim} dies under load: its interface, then its server"));
    show.screen.doing(format!("opening {OPEN} connections"));
    let services = show.stage.services();
    let opened = show.load.keep_open(&services, OPEN, EVERY);
    show.interrupt.wait_for("the connections to be open", WITHIN, || opened.is_done())?;
    show.begin_stream();
    let began = Instant::now();
    show.pass("load before the death", BEFORE)?;
    let calm = failed(&show.requests(began, Instant::now()));
    show.expect(STEP, "before it, no request fails", calm.len(), calm.is_empty());

    let died = show.stage.die(VICTIM)?;
    show.screen.doing(format!("{victim} is dead"));
    show.interrupt.wait_for("its death to be noticed", WITHIN, || {
        let out = |status: Status| members(&status, &victim).all(|member| !member.eligible);
        show.stage.status().is_ok_and(out)
    })?;
    let noticed = Instant::now();
    show.pass("load after the death", AFTER)?;
    let death = Death { died, noticed, ended: Instant::now() };
    detected(show, &death);
    requests(show, &death, &victim)?;
    connections(show, &victim);
    Ok(())
}

fn detected(show: &mut Show, death: &Death) {
    let took = death.noticed - death.died;
    let expected = format!("noticed within {}", promise(Checks::FALL, SLACK));
    show.expect(STEP, expected, format!("{} ms", took.as_millis()), took <= CHECKS.detection() + SLACK);
}

fn requests(show: &mut Show, death: &Death, victim: &str) -> Result<()> {
    // What began just before the death may still have been under way.
    let all = show.requests(death.died - SHORT_PATIENCE, death.ended - SHORT_PATIENCE);
    let failed = failed(&all);
    let testimony = show.witness.testimony()?;
    let others = failed.iter().filter(|request| testimony.owner(request) != Some(victim)).count();
    let late = failed.iter().filter(|request| request.started > death.noticed).count();
    show.screen.say(&format!("    new requests: {} of {} failed", failed.len(), all.len()));
    show.list(&failed, death.died)?;
    show.expect(
        STEP,
        "only requests to the dead backend fail",
        format!("{others} other of {}", all.len()),
        others == 0,
    );
    show.expect(STEP, "once noticed, no new request fails", late, late == 0);
    Ok(())
}

fn connections(show: &mut Show, victim: &str) {
    let all = show.load.connections();
    let (dead, living): (Vec<_>, Vec<_>) =
        all.iter().enumerate().partition(|(_, connection)| connection.backend.as_deref() == Some(victim));
    show.survivors = living.iter().map(|(number, _)| *number).collect();
    let (broken, _) = show.broken_survivors();
    let how = list(count(
        dead.iter().filter_map(|(_, connection)| connection.broken.as_ref().map(|broken| &broken.1)),
    ));
    show.screen.say(&format!("    open connections of {victim}: {}; so far lost: {how}", dead.len()));
    let slowest = living.iter().map(|(_, connection)| connection.slowest).max().unwrap_or_default();
    show.screen.say(&format!("    slowest answer to the other {}: {} ms", living.len(), slowest.as_millis()));
    show.expect(
        STEP,
        "no connection of another backend breaks",
        format!("{broken} of {}", living.len()),
        broken == 0,
    );
}

/// How often each of them is there.
fn count<T: Display>(things: impl Iterator<Item = T>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for thing in things {
        *counts.entry(thing.to_string()).or_default() += 1;
    }
    counts
}

fn list(counts: BTreeMap<String, usize>) -> String {
    counts.into_iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}
