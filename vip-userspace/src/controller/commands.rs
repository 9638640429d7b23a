//! What each command does to the intent. Pure.

use std::time::Duration;

use crate::{
    control::protocol::{Command, Fate, Membership, Wish},
    model::{
        Admin, Backend, BackendName, Draining, Intent, Maintenance, Member, Probe, Refusal, Service,
        ServiceName, drain::TIMEOUTS,
    },
};

/// Applies a command to the intent; where it is refused, the intent is as it was.
///
/// # Errors
/// Why it is refused.
pub(super) fn apply(intent: &mut Intent, command: &Command) -> Result<(), Refusal> {
    let mut next = intent.clone();
    match command.clone() {
        Command::AddService { service } => {
            refuse_script(&service)?;
            next.add_service(*service)?;
        }
        Command::RemoveService { name } => next.remove_service(&name)?,
        Command::AddBackend { backend, services } => add_backend(&mut next, backend, services)?,
        Command::RemoveBackend { name, service } => remove_backend(&mut next, &name, service.as_ref())?,
        Command::SetAdmin { backend, service, admin, timeout } => {
            check_timeout(timeout, admin == Admin::Draining)?;
            next.set_admin(&backend, service.as_ref(), admin)?;
        }
        Command::SetMaintenance { backend, maintenance, timeout } => {
            check_timeout(timeout, maintenance == Maintenance::Draining)?;
            next.set_maintenance(&backend, maintenance)?;
        }
        Command::SetWeight { backend, service, weight } => {
            next.set_weight(&backend, service.as_ref(), weight)?;
        }
        Command::Reload { .. } | Command::Detach => {}
    }
    *intent = next;
    Ok(())
}

/// Lays the operator's wishes over an intent, in their order. Those that hold are returned, and of all of them what
/// becomes of them.
pub(super) fn lay_over(intent: &mut Intent, wishes: Vec<Command>) -> (Vec<Command>, Vec<Wish>) {
    let (mut kept, mut told) = (Vec::new(), Vec::new());
    for wish in wishes {
        let words = super::words::of_wish(&wish);
        let before = intent.clone();
        let (fate, why) = match apply(intent, &wish) {
            _ if says_so(&before, &wish) => {
                *intent = before;
                (Fate::Fulfilled, None)
            }
            Ok(()) if *intent == before => (Fate::Fulfilled, None),
            Ok(()) => (Fate::Holds, None),
            Err(refusal) => (Fate::Lost, Some(refusal.to_string())),
        };
        if fate == Fate::Holds {
            kept.push(wish);
        }
        told.push(Wish { wish: words, fate, why });
    }
    (kept, told)
}

/// Whether a wish for things to be there, or not, is for what is so anyway.
fn says_so(intent: &Intent, wish: &Command) -> bool {
    let member = |service: &ServiceName, backend: &BackendName| {
        let service = intent.services().get(service);
        service.and_then(|service| service.members.iter().find(|member| member.backend == *backend))
    };
    match wish {
        Command::AddService { service } => intent.services().get(&service.name) == Some(&**service),
        Command::RemoveService { name } => !intent.services().contains_key(name),
        Command::AddBackend { backend, services } => {
            let is_member = |wanted: &Membership| {
                let Membership { service, weight, backup } = wanted;
                let wanted = Member { backend: backend.name.clone(), weight: *weight, backup: *backup };
                member(service, &backend.name) == Some(&wanted)
            };
            intent.backends().get(&backend.name) == Some(backend) && services.iter().all(is_member)
        }
        Command::RemoveBackend { name, service: None } => !intent.backends().contains_key(name),
        Command::RemoveBackend { name, service: Some(service) } => member(service, name).is_none(),
        _ => false,
    }
}

/// A script runs as the controller does: whoever may write to the control socket may direct packets, not run programs.
fn refuse_script(service: &Service) -> Result<(), Refusal> {
    match service.check.as_ref().map(|check| &check.probe) {
        Some(Probe::Script(_)) => Err(Refusal::ScriptByCommand(service.name.clone())),
        _ => Ok(()),
    }
}

fn check_timeout(timeout: Option<Duration>, drains: bool) -> Result<(), Refusal> {
    match timeout {
        Some(_) if !drains => Err(Refusal::NothingToTimeOut),
        Some(timeout) if !(TIMEOUTS.0..=TIMEOUTS.1).contains(&timeout) => Err(Refusal::BadTimeout(timeout)),
        _ => Ok(()),
    }
}

/// What drains by a command, and how long at most; nothing by most commands.
pub(super) fn drains(intent: &Intent, command: &Command) -> Vec<(Draining, Option<Duration>)> {
    match command {
        Command::SetAdmin { backend, service, admin: Admin::Draining, timeout } => {
            let services = intent.memberships(backend, service.as_ref()).unwrap_or_default().into_iter();
            let draining = |service| Draining { service: Some(service), backend: backend.clone() };
            services.map(|service| (draining(service), *timeout)).collect()
        }
        Command::SetMaintenance { backend, maintenance: Maintenance::Draining, timeout } => {
            vec![(Draining { service: None, backend: backend.clone() }, *timeout)]
        }
        _ => Vec::new(),
    }
}

/// A backend that exists already, just as stated, only becomes a member.
fn add_backend(intent: &mut Intent, backend: Backend, services: Vec<Membership>) -> Result<(), Refusal> {
    let name = backend.name.clone();
    if services.is_empty() || intent.backends().get(&name) != Some(&backend) {
        intent.add_backend(backend)?;
    }
    for Membership { service, weight, backup } in services {
        intent.add_member(&service, Member { backend: name.clone(), weight, backup })?;
    }
    Ok(())
}

fn remove_backend(
    intent: &mut Intent,
    name: &BackendName,
    service: Option<&ServiceName>,
) -> Result<(), Refusal> {
    if let Some(service) = service {
        return intent.remove_member(service, name);
    }
    let services: Vec<_> = intent.services_of(name).map(|service| service.name.clone()).collect();
    for service in services {
        intent.remove_member(&service, name)?;
    }
    intent.remove_backend(name)
}
