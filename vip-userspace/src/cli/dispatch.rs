//! Carries out what the command line says, with or without a controller. It prints nothing: what is to be printed is
//! its result.

use std::{path::Path, time::Duration};

use clap::CommandFactory;
use serde_json::{Value, json};
use vip_userspace::{
    control::{Code, Command, Refused, client::Client, socket},
    controller::{self, RunOptions},
    model::{Admin, Maintenance, duration},
};

use super::{Cli, Global, Run, Show, Verb, service::ServiceVerb};
use crate::render;

/// What a verb leaves to be said.
#[derive(Debug)]
pub(crate) struct Output {
    /// For people; may hold ANSI colours.
    pub(crate) text: String,
    /// For programs.
    pub(crate) json: Value,
    /// What went wrong nevertheless.
    pub(crate) but: Option<Refused>,
    /// The exit code, where nothing went wrong.
    pub(crate) exit: u8,
}

impl Output {
    pub(super) fn done(text: String) -> Self {
        Self { text: text + "\n", json: json!({ "done": true }), but: None, exit: 0 }
    }
}

/// Does it. What takes time is shown by `show` meanwhile.
///
/// # Errors
/// Why it is not done.
pub(crate) async fn carry_out(cli: Cli, show: Show<'_>) -> Result<Option<Output>, Refused> {
    let Cli { global, verb } = cli;
    let client = Client::new(&global.socket());
    let usage = |message: &str| Refused::new(Code::Usage, message);
    let mut wait = None;
    let command = match verb {
        Verb::Run(run) => return start(&global, run).await.map(|()| None),
        Verb::Check { file } => return check(&file).map(Some),
        Verb::Status => return status(&global, &client).await.map(Some),
        Verb::Explain(explain) => return explain.carry_out(&global.places()).map(Some),
        Verb::Flows(flows) => return flows.carry_out(&global.places()).map(Some),
        Verb::Trace(trace) => return trace.carry_out(&client, &global.places(), show).await,
        Verb::Doctor(doctor) => return doctor.carry_out(global.places(), global.socket()).await.map(Some),
        Verb::Events => return super::events::follow(&client, show).await.map(|()| None),
        Verb::Reload(reload) => return reload.carry_out(&client).await.map(Some),
        Verb::Diff(diff) => return diff.carry_out(&client).await.map(Some),
        Verb::Save(save) => return save.carry_out(&client).await.map(Some),
        Verb::Detach => return detach(&global, &client).await.map(Some),
        Verb::Completions { shell } => return Ok(Some(completions(shell))),
        Verb::Service(ServiceVerb::List) => return services(&client).await.map(Some),
        Verb::Service(ServiceVerb::Add(add)) => add.command().map_err(usage)?,
        Verb::Service(ServiceVerb::Remove { name }) => Command::RemoveService { name },
        Verb::Backend(verb) => match verb.command().map_err(usage)? {
            Some(command) => {
                wait = verb.wait();
                command
            }
            None => {
                let backends = client.status().await?.backends;
                let text = render::backends(&backends);
                return Ok(Some(Output { text, json: json!({ "backends": backends }), but: None, exit: 0 }));
            }
        },
        Verb::Maintenance(verb) => match verb.command() {
            Some(command) => {
                wait = verb.wait();
                command
            }
            None => return maintenance(&client).await.map(Some),
        },
    };
    client.command(&command).await?;
    if let Some(wait) = wait {
        return wait.until_drained(&client, show).await.map(|()| None);
    }
    Ok(Some(Output::done(words(&command))))
}

async fn services(client: &Client) -> Result<Output, Refused> {
    let services = client.status().await?.services;
    let text = render::services(&services);
    Ok(Output { text, json: json!({ "services": services }), but: None, exit: 0 })
}

async fn maintenance(client: &Client) -> Result<Output, Refused> {
    let status = client.status().await?;
    let backends: Vec<_> =
        status.backends.iter().filter(|backend| backend.maintenance != Maintenance::Off).collect();
    let text = render::maintenance(&backends, &status.services);
    Ok(Output { text, json: json!({ "backends": backends }), but: None, exit: 0 })
}

/// What has been done, in words.
fn words(command: &Command) -> String {
    let inside = |service: &Option<_>| match service {
        Some(service) => format!("in service {service}"),
        None => "in all its services".to_owned(),
    };
    match command {
        Command::AddService { service } => format!("added service {}, {}", service.name, service.address),
        Command::RemoveService { name } => format!("removed service {name}"),
        Command::AddBackend { backend, .. } => format!("added backend {}", backend.name),
        Command::RemoveBackend { name, service: None } => format!("removed backend {name}"),
        Command::RemoveBackend { name, service: Some(service) } => {
            format!("removed backend {name} from service {service}")
        }
        Command::SetAdmin { backend, service, admin, timeout } => match admin {
            Admin::Enabled => format!("enabled backend {backend} {}", inside(service)),
            Admin::Draining => {
                format!(
                    "draining backend {backend} {}: it keeps its flows, and gets no new ones{}",
                    inside(service),
                    at_most(*timeout)
                )
            }
            Admin::Disabled => format!("disabled backend {backend} {}", inside(service)),
        },
        Command::SetMaintenance { backend, maintenance, timeout } => match maintenance {
            Maintenance::Off => {
                format!("backend {backend} is out of maintenance: its members are what they were before")
            }
            Maintenance::Draining => format!(
                "backend {backend} is in maintenance: it keeps its flows, and gets no new ones{}",
                at_most(*timeout)
            ),
            Maintenance::Disabled => format!("backend {backend} is in maintenance, and out"),
        },
        Command::SetWeight { backend, service, weight } => {
            format!("backend {backend} has weight {weight} {}", inside(service))
        }
        Command::Reload { .. } => "reloaded".to_owned(),
        Command::Detach => "detached: nothing is forwarded any more".to_owned(),
    }
}

fn at_most(timeout: Option<Duration>) -> String {
    let words = |timeout| {
        format!("; it is disabled when they are gone, in {} at the latest", duration::print(timeout))
    };
    timeout.map(words).unwrap_or_default()
}

async fn start(global: &Global, run: Run) -> Result<(), Refused> {
    let Run { config, mode, reset, log_packets } = run;
    // It is read again, wherever the controller may be by then.
    let config = std::path::absolute(&config).unwrap_or(config);
    let (places, socket) = (global.places(), global.socket());
    let options = RunOptions { places, socket, config, mode, reset, log_packets };
    controller::run(options).await
}

fn check(file: &Path) -> Result<Output, Refused> {
    let config = controller::read_config(file)?;
    let (services, backends) = (config.intent.services().len(), config.intent.backends().len());
    let many = |count, thing| format!("{count} {thing}{}", if count == 1 { "" } else { "s" });
    let (services, backends) = (many(services, "service"), many(backends, "backend"));
    Ok(Output::done(format!("{} is fine: {services}, {backends}", file.display())))
}

async fn status(global: &Global, client: &Client) -> Result<Output, Refused> {
    let (status, but) = match client.status().await {
        Ok(status) => (status, None),
        Err(refused) if refused.code == Code::NoController => {
            let pinned = controller::offline_status(&global.places()).map_err(failed)?;
            let status = pinned.ok_or_else(|| nothing(refused.clone()))?;
            let message = format!("{}: this is what is pinned", refused.message);
            (status, Some(Refused { message, ..refused }))
        }
        Err(refused) => return Err(refused),
    };
    Ok(Output { text: render::status(&status), json: json!(status), but, exit: 0 })
}

async fn detach(global: &Global, client: &Client) -> Result<Output, Refused> {
    match client.command(&Command::Detach).await {
        Ok(()) => Ok(Output::done(words(&Command::Detach))),
        Err(refused) if refused.code == Code::NoController => {
            let places = global.places();
            // No controller may start meanwhile, nor one run that listens on another socket.
            let _held = socket::hold_off(&places)?;
            let detached = controller::detach(&places).await.map_err(failed)?;
            if detached.found { Ok(Output::done(words(&Command::Detach))) } else { Err(nothing(refused)) }
        }
        Err(refused) => Err(refused),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: anyhow::Error) -> Refused {
    Refused::new(Code::Failed, format!("{error:#}"))
}

/// There is no controller, nor anything that one left.
fn nothing(refused: Refused) -> Refused {
    Refused { message: format!("{}, and nothing of it is pinned", refused.message), ..refused }
}

fn completions(shell: clap_complete::Shell) -> Output {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vip", &mut script);
    let text = String::from_utf8_lossy(&script).into_owned();
    Output { json: json!({ "completions": text }), text, but: None, exit: 0 }
}
