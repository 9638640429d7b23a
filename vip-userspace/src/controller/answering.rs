//! What is asked for at the control socket, and what it is answered once it is done.

use std::time::Duration;

use log::{info, warn};
use tokio::time::timeout;

use super::{
    memory::add_wish,
    offline,
    run::{Loop, failed},
    start,
    status::Sources,
    words,
};
use crate::{
    control::{Answer, Caller, Code, Command, Query, Refused, Request, Wanted, protocol::News},
    dataplane::Dataplane as _,
    model::{BackendName, Refusal},
};

/// How long the watcher may take to let go of the neighbours.
const LET_GO: Duration = Duration::from_secs(5);

impl Loop {
    /// Answers a request; true if it was the last one.
    pub(super) async fn request(&mut self, request: Request) -> bool {
        let (answer, ends) = match &request.what {
            Wanted::Query(Query::Status) => (self.status(), false),
            Wanted::Query(Query::Config) => (Ok(Answer::Config(self.config_text())), false),
            Wanted::Query(Query::Diff(wanted)) => {
                (self.diff(wanted).await.map(|found| Answer::Differences(Box::new(found))), false)
            }
            Wanted::Command(Command::Reload { force, reset }) => {
                let reloaded = self.reload(*force, *reset, Some(request.caller)).await;
                (reloaded.map(|changed| Answer::Differences(Box::new(changed))), false)
            }
            Wanted::Query(Query::Drain { backend }) => (self.drain(backend), false),
            Wanted::Trace(wanted) => (self.begin_trace(wanted, request.caller, request.lines.clone()), false),
            Wanted::EndTrace => (self.stop_trace(), false),
            Wanted::Command(Command::Detach) => {
                let detached = self.detach(request.caller).await;
                let ends = detached.is_ok();
                (detached, ends)
            }
            Wanted::Command(command) => (self.command(command, Some(request.caller)).await, false),
        };
        // Who does not wait any more does not mind.
        let _ = request.answer.send(answer);
        ends
    }

    pub(super) async fn command(&mut self, command: &Command, by: Option<Caller>) -> Result<Answer, Refused> {
        if let Command::AddBackend { backend, .. } = command {
            start::refuse_gateways(backend.addresses()).await?;
        }
        let transitions = self.controller.command(command)?;
        self.intent_changed();
        self.keep_drains();
        add_wish(&mut self.wishes, command.clone());
        self.memory.keep_wishes(&self.wishes).map_err(|error| {
            let done = "the change holds, but will be forgotten at the next start";
            Refused::new(Code::Failed, format!("{done}: {error:#}"))
        })?;
        let words = words::of_command(command);
        info!("{words}{}", words::by(by));
        self.herald.tell(News::Command { by }, words);
        self.tell(transitions);
        Ok(Answer::Done)
    }

    async fn detach(&mut self, by: Caller) -> Result<Answer, Refused> {
        let interfaces: Vec<_> = self.interfaces.iter().map(|interface| interface.name.clone()).collect();
        // It would answer the changes of the interfaces by looking after the neighbours again.
        let let_go = timeout(LET_GO, self.net.watcher.let_go()).await;
        if let Err(error) = offline::detach(&self.places).await {
            self.followed = None;
            self.intent_changed();
            return Err(failed(error));
        }
        if let_go.is_err() {
            warn!("the kernel may go on looking after neighbours: the watcher did not end in time");
        }
        let words = format!("detached from {}; the controller ends", interfaces.join(", "));
        info!("{words}{}", words::by(Some(by)));
        self.herald.tell(News::Command { by: Some(by) }, words);
        Ok(Answer::Done)
    }

    fn drain(&self, backend: &BackendName) -> Result<Answer, Refused> {
        if !self.controller.world().intent.backends().contains_key(backend) {
            return Err(Refusal::NoBackend(backend.clone()).into());
        }
        Ok(Answer::Drain(self.controller.drain_of(backend)))
    }

    fn status(&self) -> Result<Answer, Refused> {
        let counts = self.controller.dataplane().counts().map_err(failed)?;
        let now = self.began.elapsed();
        let age = |(key, since)| (key, now.saturating_sub(since).as_secs());
        let ages = self.controller.standing_since().map(age).collect();
        let sources = Sources {
            instance: self.places.instance.as_str(),
            controller: Some((std::process::id(), self.began.elapsed().as_secs())),
            interfaces: self.interfaces.clone(),
            inlet: self.inlet.port.clone(),
            world: self.controller.world(),
            numbers: self.controller.numbers(),
            published: self.controller.published(),
            counts: &counts,
            flow_entries: self.controller.dataplane().capacity().flows,
            ages,
            now,
            drains: self.controller.drains(),
        };
        Ok(Answer::Status(Box::new(sources.status())))
    }
}
