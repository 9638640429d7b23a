//! New connections spread over all backends, and the answers come straight from them.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{report::table, show::Show};
use crate::load::{Request, shares};

const STEP: &str = "spread";
/// New connections to each VIP.
const CONNECTIONS: usize = 500;
/// How long they may take.
const WITHIN: Duration = Duration::from_secs(30);
/// How far a share may be from the expected one, in standard deviations of independent draws: one of a hundred
/// thousand labs would find one of its eight shares further away.
const DEVIATIONS: f64 = 5.0;

pub(super) fn run(show: &mut Show) -> Result<()> {
    let title = format!("spread: {CONNECTIONS} new connections to each VIP, one request each");
    show.screen.step(&title);
    let requests = connect(show, CONNECTIONS)?;
    let testimony = show.witness.testimony()?;
    let astray =
        requests.iter().filter(|request| request.outcome.as_deref().ok() != testimony.owner(request)).count();
    let (straight, by_director) = (testimony.straight, testimony.by_director);
    show.expect(
        STEP,
        "the wire agrees who got which request",
        format!("{} of {}", requests.len() - astray, requests.len()),
        astray == 0,
    );
    judge(show, STEP, &requests);
    let seen = format!("{by_director} of {}", straight + by_director);
    let ok = straight >= requests.len() && by_director == 0;
    show.expect(STEP, "no answer by way of the director", seen, ok);
    Ok(())
}

/// Makes so many new connections to each VIP, and returns what became of them.
pub(super) fn connect(show: &Show, count: usize) -> Result<Vec<Request>> {
    let services = show.stage.services();
    let began = Instant::now();
    let before = show.load.requests().len();
    let burst = show.load.burst(&services, count);
    let all = count * services.len();
    show.interrupt.wait_for("the requests to end", WITHIN, || {
        show.screen.doing(format!("{} of {all} requests", show.load.requests().len() - before));
        burst.is_done()
    })?;
    let requests = show.load.requests();
    Ok(requests.into_iter().filter(|request| request.started >= began).collect())
}

/// Shows how requests spread over VIPs and backends, and expects that each got its share.
pub(super) fn judge(show: &mut Show, step: &'static str, requests: &[Request]) {
    let names: Vec<_> = show.stage.topology.backends.iter().map(|host| host.name.clone()).collect();
    let services = show.stage.services();
    let shares = shares(requests);
    let mut rows = vec![["backend".to_owned(), services[0].ip().to_string(), services[1].ip().to_string()]];
    // In percent.
    let (mut least, mut most, mut slack) = (100.0_f64, 0.0_f64, 0.0_f64);
    for name in &names {
        let cells = [0, 1].map(|service: usize| {
            let vip = services[service].ip();
            let all = requests.iter().filter(|request| request.server.ip() == vip).count();
            let count = shares.get(&(vip, name.clone())).copied().unwrap_or_default();
            let share = count as f64 * 100.0 / all.max(1) as f64;
            (least, most) = (least.min(share), most.max(share));
            slack = slack.max(bound(all, names.len()));
            format!("{count:>4}  {share:>4.1} %")
        });
        let [first, second] = cells;
        rows.push([name.clone(), first, second]);
    }
    show.screen.lines(&table(&rows));
    let fair = 100.0 / names.len() as f64;
    show.expect(
        step,
        format!("{fair:.0} % ± {slack:.1} to each backend (5 standard deviations)"),
        format!("{least:.1} to {most:.1} %"),
        least >= fair - slack && most <= fair + slack,
    );
    let failed = requests.iter().filter(|request| request.outcome.is_err()).count();
    show.expect(step, "no request fails", format!("{failed} of {}", requests.len()), failed == 0);
}

/// How far a backend's share of `count` connections may be from the expected one, in percent.
fn bound(count: usize, backends: usize) -> f64 {
    let share = 1.0 / backends as f64;
    DEVIATIONS * (share * (1.0 - share) / count.max(1) as f64).sqrt() * 100.0
}
