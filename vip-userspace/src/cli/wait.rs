//! Waits until a backend is drained, and tells meanwhile how far that is. The controller drains, with or without somebody
//! who waits.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vip_userspace::{
    control::{
        Code, Refused,
        client::Client,
        protocol::{DrainEnd, DrainingMember},
    },
    model::{Admin, BackendName, ServiceName},
};

use crate::render;

/// How often the controller is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long it may be away, for instance while it is restarted.
const AWAY: Duration = Duration::from_secs(60);

/// How far something is that is waited for.
#[derive(Debug)]
pub(crate) struct Progress {
    /// For people, one line; it goes on from the one before.
    pub(crate) text: String,
    /// For programs.
    pub(crate) json: Value,
    /// Whether something has changed but the time.
    pub(crate) is_news: bool,
    /// Nothing follows.
    pub(crate) is_last: bool,
}

/// Where progress is shown; false if nobody looks.
pub(crate) type Show<'a> = &'a mut dyn FnMut(&Progress) -> bool;

/// What is waited for.
pub(super) struct Wait {
    pub(super) backend: BackendName,
    /// In this service alone.
    pub(super) service: Option<ServiceName>,
}

/// What the controller's answer means for who waits.
enum Outcome {
    GoesOn,
    /// All is over; the member is disabled, where it had a timeout.
    Ended {
        ends: Vec<DrainEnd>,
        is_disabled: bool,
    },
    /// Somebody else has changed it.
    Undone(String),
}

impl Wait {
    /// Waits until all its members are drained.
    ///
    /// # Errors
    /// Flows were left when the time was over, somebody undid the drain, or the controller is gone for too long.
    pub(super) async fn until_drained(&self, client: &Client, show: Show<'_>) -> Result<(), Refused> {
        let mut seen = Instant::now();
        let mut shown: Option<Value> = None;
        loop {
            match client.drain(&self.backend).await {
                Ok(found) => {
                    seen = Instant::now();
                    let is_its = |member: &DrainingMember| {
                        self.service.as_ref().is_none_or(|service| *service == member.service)
                    };
                    let members: Vec<_> = found.members.into_iter().filter(is_its).collect();
                    match outcome(&members) {
                        Outcome::GoesOn => self.show(&members, &mut shown, show),
                        Outcome::Ended { ends, is_disabled } => return self.end(&ends, is_disabled, show),
                        Outcome::Undone(what) => {
                            let message = format!("{}: {what}", self.backend);
                            return Err(Refused::new(Code::Undone, message));
                        }
                    }
                }
                Err(refused) if is_passing(refused.code) && seen.elapsed() < AWAY => {
                    let text = format!("{}: no controller answers; waiting for one", self.backend);
                    let json = json!({ "backend": self.backend, "controller": false });
                    let is_news = shown.as_ref() != Some(&json);
                    show(&Progress { text, json: json.clone(), is_news, is_last: false });
                    shown = Some(json);
                }
                Err(refused) => return Err(refused),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    fn show(&self, members: &[DrainingMember], shown: &mut Option<Value>, show: Show<'_>) {
        let text = render::drain::progress(self.backend.as_str(), members);
        let json = json!({ "backend": self.backend, "ended": false, "members": members });
        let timeless: Vec<_> = members
            .iter()
            .map(|member| member.drain.map(|drain| (drain.flows_left, drain.unknown_slots, drain.gone)))
            .collect();
        let timeless = json!(timeless);
        let is_news = shown.as_ref() != Some(&timeless);
        show(&Progress { text, json, is_news, is_last: false });
        *shown = Some(timeless);
    }

    fn end(&self, ends: &[DrainEnd], is_disabled: bool, show: Show<'_>) -> Result<(), Refused> {
        let text = render::drain::ended(self.backend.as_str(), ends, is_disabled);
        let timed_out = ends.iter().any(|end| end.timed_out);
        let flows = ends.iter().map(|end| end.flows_left).try_fold(0, |sum, left| Some(sum + left?));
        let json = json!({
            "backend": self.backend, "ended": true, "timed_out": timed_out, "disabled": is_disabled, "flows_left": flows,
            "unknown_slots": ends.iter().map(|end| end.unknown_slots).sum::<u32>()
        });
        if timed_out {
            show(&Progress { text: String::new(), json, is_news: true, is_last: true });
            return Err(Refused::new(Code::FlowsLeft, text));
        }
        show(&Progress { text, json, is_news: true, is_last: true });
        Ok(())
    }
}

/// True for what is so while a controller is restarted: it is gone, or went in the middle of an answer.
const fn is_passing(code: Code) -> bool {
    matches!(code, Code::NoController | Code::Ending | Code::Failed | Code::Timeout)
}

fn outcome(members: &[DrainingMember]) -> Outcome {
    let mut ends = Vec::new();
    let mut is_disabled = false;
    for member in members {
        match (member.drain, member.ended, member.admin) {
            (Some(drain), ..) if drain.gone && drain.timeout_seconds.is_none() => {
                ends.push(DrainEnd { timed_out: false, flows_left: Some(0), unknown_slots: 0 });
            }
            (Some(_), ..) => return Outcome::GoesOn,
            (None, Some(end), _) => {
                is_disabled = true;
                ends.push(end);
            }
            (None, None, Admin::Disabled) => {
                return Outcome::Undone(format!(
                    "it has been disabled in service {}, by somebody else or before the controller was restarted: how many \
                     flows were left is not known",
                    member.service
                ));
            }
            (None, None, admin) => {
                return Outcome::Undone(format!(
                    "it does not drain any more in service {}: it is {admin}",
                    member.service
                ));
            }
        }
    }
    Outcome::Ended { ends, is_disabled }
}

#[cfg(test)]
mod tests {
    use vip_userspace::control::protocol::DrainStatus;

    use super::*;

    const DRAIN: DrainStatus = DrainStatus {
        maintenance: false,
        seconds: 3,
        flows_left: Some(2),
        unknown_slots: 0,
        unknown_seconds: None,
        timeout_seconds: None,
        gone: false,
    };

    fn member(admin: Admin, drain: Option<DrainStatus>, ended: Option<DrainEnd>) -> DrainingMember {
        DrainingMember { service: "web".parse().expect("a name"), admin, drain, ended }
    }

    #[test]
    fn it_is_over_when_all_members_are_and_not_before() {
        let gone = Some(DrainStatus { gone: true, ..DRAIN });
        let end = DrainEnd { timed_out: true, flows_left: Some(2), unknown_slots: 7 };
        let (draining, disabled) = (Admin::Draining, Admin::Disabled);
        let goes_on = |members: &[DrainingMember]| matches!(outcome(members), Outcome::GoesOn);
        assert!(goes_on(&[member(draining, gone, None), member(draining, Some(DRAIN), None)]));
        let soon = Some(DrainStatus { gone: true, timeout_seconds: Some(9), ..DRAIN });
        assert!(goes_on(&[member(draining, soon, None)]), "it is about to be disabled");
        let Outcome::Ended { ends, is_disabled: true } =
            outcome(&[member(draining, gone, None), member(disabled, None, Some(end))])
        else {
            panic!("it goes on");
        };
        assert_eq!(ends.iter().filter_map(|end| end.flows_left).sum::<u64>(), 2);
        assert!(matches!(outcome(&[]), Outcome::Ended { is_disabled: false, .. }));
    }

    #[test]
    fn what_somebody_else_did_meanwhile_is_told() {
        let undone = |admin| match outcome(&[member(admin, None, None)]) {
            Outcome::Undone(what) => what,
            _ => panic!("not undone"),
        };
        assert!(undone(Admin::Enabled).contains("in service web: it is enabled"));
        assert!(undone(Admin::Disabled).contains("it has been disabled in service web"));
    }
}
