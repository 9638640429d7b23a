//! The controller is killed under load, and nobody notices: program and tables are the kernel's. A new controller takes
//! over what it finds.

use std::time::{Duration, Instant};

use anyhow::Result;
use vip_userspace::control::protocol::Status;

use super::show::Show;
use crate::{
    load::{SHORT_PATIENCE, failed},
    net::Signal,
};

const STEP: &str = "restart";
/// Load without a controller, and after its return.
const LOAD: Duration = Duration::from_millis(1500);
/// The exit code of `vip status` without a controller.
const NO_CONTROLLER: i32 = 3;

pub(super) fn run(show: &mut Show) -> Result<()> {
    show.screen.step("restart: the controller is killed under load (SIGKILL), and started again");
    let before = slots(&show.stage.status()?);
    let killed = Instant::now();
    show.stage.stop(Signal::KILL)?;
    show.pass("load without a controller", LOAD)?;
    let (orphan, code) = show.stage.vip.status(&show.stage.topology.director.namespace)?;
    let told = code == NO_CONTROLLER && !orphan.controller && slots(&orphan) == before;
    show.expect(STEP, "without it, status reads the kernel's tables", format!("exit {code}"), told);

    show.screen.doing("starting the controller");
    let started = Instant::now();
    show.stage.start()?;
    let took = started.elapsed();
    // Long enough for every probe to decide anew.
    show.pass("load with a new controller", LOAD)?;
    let same = slots(&show.stage.status()?) == before;
    show.screen.say(&format!(
        "    it was away for {} ms, and answered {} ms after its start",
        (started - killed).as_millis(),
        took.as_millis()
    ));
    show.expect(
        STEP,
        "the new one takes over the ring as it is",
        if same { "no slot moved" } else { "slots moved" },
        same,
    );
    show.pass("the last requests", SHORT_PATIENCE)?;
    let all = show.requests(killed, Instant::now() - SHORT_PATIENCE);
    let lost = failed(&all);
    show.list(&lost, killed)?;
    show.expect(
        STEP,
        "no request is lost",
        format!("{} of {}", lost.len(), all.len()),
        lost.is_empty() && !all.is_empty(),
    );
    let (broken, living) = show.broken_survivors();
    show.expect(STEP, "no open connection breaks", format!("{broken} of {living}"), broken == 0);
    Ok(())
}

/// Who has how many slots of which service.
fn slots(status: &Status) -> Vec<(String, String, u32)> {
    let services = status.services.iter();
    let mut slots: Vec<_> = services
        .flat_map(|service| {
            service
                .members
                .iter()
                .map(move |member| (service.name.to_string(), member.backend.to_string(), member.slots))
        })
        .collect();
    slots.sort();
    slots
}
