//! The dead backend returns: how soon it gets its share again, and what that costs.

use std::time::{Duration, Instant};

use anyhow::Result;
use vip_userspace::control::Status;

use super::{
    show::{CHECKS, EVERY, Show, VICTIM, promise},
    spread,
};
use crate::{
    load::{SHORT_PATIENCE, failed},
    stage::{Checks, members},
};

const STEP: &str = "return";
/// Connections that are opened while the backend is dead.
const MEANWHILE: usize = 80;
/// New connections to each VIP once it is back.
const CONNECTIONS: usize = 300;
/// Load after the return.
const AFTER: Duration = Duration::from_millis(1500);
/// A probe that has just failed, and a busy machine.
const SLACK: Duration = Duration::from_millis(700);
const WITHIN: Duration = Duration::from_secs(10);

pub(super) fn run(show: &mut Show) -> Result<()> {
    let victim = show.victim();
    show.screen.step(&format!("return: {victim} is there again"));
    let first = show.load.connections().len();
    let opened = show.load.keep_open(&show.stage.services(), MEANWHILE, EVERY);
    show.interrupt.wait_for("the connections to be open", WITHIN, || opened.is_done())?;

    show.screen.doing(format!("{victim} comes back"));
    let back = show.stage.come_back(VICTIM)?;
    show.interrupt.wait_for("it to be taken in", WITHIN, || {
        let is_in = |status: Status| members(&status, &victim).all(|member| member.eligible);
        show.stage.status().is_ok_and(is_in)
    })?;
    let taken_in = Instant::now();
    let promised = CHECKS.time_of(Checks::RISE) + SLACK;
    let took = taken_in - back;
    let expected = format!("taken in within {}", promise(Checks::RISE, SLACK));
    show.expect(STEP, expected, format!("{} ms", took.as_millis()), took <= promised);

    let requests = spread::connect(show, CONNECTIONS)?;
    spread::judge(show, STEP, &requests);
    show.pass("load after the return", AFTER + SHORT_PATIENCE)?;
    lost(show, back, taken_in)?;
    let meanwhile = show.load.connections().split_off(first);
    let broken = meanwhile.iter().filter(|connection| connection.broken.is_some()).count();
    show.screen.say(&format!(
        "    of {MEANWHILE} connections opened while it was dead, {broken} broke: those in its slots (README, limits)"
    ));
    let (broken, living) = show.broken_survivors();
    show.expect(STEP, "no older connection of others breaks", format!("{broken} of {living}"), broken == 0);
    Ok(())
}

/// Requests that were under way while slots went back may have lost their backend amid: they are shown. Later ones must
/// not.
fn lost(show: &mut Show, back: Instant, taken_in: Instant) -> Result<()> {
    let moving = show.requests(back - SHORT_PATIENCE, taken_in);
    let under_way = failed(&moving);
    let later = show.requests(taken_in, Instant::now() - SHORT_PATIENCE);
    let late = failed(&later);
    show.screen.say(&format!(
        "    of {} requests about the moment of its return, {} failed",
        moving.len(),
        under_way.len()
    ));
    show.list(&[under_way, late.clone()].concat(), taken_in)?;
    show.expect(
        STEP,
        "once it is in, no new request fails",
        format!("{} of {}", late.len(), later.len()),
        late.is_empty(),
    );
    Ok(())
}
