//! What each command does to the intent. Pure.

use crate::{
    control::protocol::{Command, Membership},
    model::{Backend, BackendName, Intent, Member, Refusal, ServiceName},
};

/// Applies a command to the intent; where it is refused, the intent is as it was.
///
/// # Errors
/// Why it is refused.
pub(super) fn apply(intent: &mut Intent, command: &Command) -> Result<(), Refusal> {
    let mut next = intent.clone();
    match command.clone() {
        Command::AddService { service } => next.add_service(service)?,
        Command::RemoveService { name } => next.remove_service(&name)?,
        Command::AddBackend { backend, services } => add_backend(&mut next, backend, services)?,
        Command::RemoveBackend { name, service } => remove_backend(&mut next, &name, service.as_ref())?,
        Command::SetAdmin { backend, service, admin } => next.set_admin(&backend, service.as_ref(), admin)?,
        Command::SetWeight { backend, service, weight } => {
            next.set_weight(&backend, service.as_ref(), weight)?;
        }
        Command::Detach => {}
    }
    *intent = next;
    Ok(())
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
