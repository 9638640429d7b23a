//! Runs a script, and takes its end for the answer. It gets a group of its own, an empty environment but for what is
//! written here, and no input; what it writes is read to a bound. With the probe ends whatever is left of its group.

use std::{
    fs, io,
    os::unix::process::ExitStatusExt as _,
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe,
    process::{Child, Command},
};

use super::{Attempt, open::words};
use crate::{
    health::way::Path,
    model::{Cause, Script, Stage},
};

/// Most bytes that a script may write.
const MAX_OUTPUT: usize = 64 * 1024;
/// Bytes of them that are repeated.
const MAX_SAID: usize = 200;
/// Where it finds programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) async fn probe(attempt: Attempt<'_>, script: &Script) -> Result<(), Cause> {
    let (mut child, mut output) = start(attempt, script)
        .map_err(|error| Cause::NotMade { said: format!("{}: {}", script.command[0], words(&error)) })?;
    let _group = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).map(Group);
    attempt.within(Stage::Script, follow(&mut child, &mut output)).await
}

/// The processes of a script; they are killed when it is dropped.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // Mostly there is nobody left.
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

fn start(attempt: Attempt<'_>, script: &Script) -> io::Result<(Child, pipe::Receiver)> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(&script.command[0]);
    command.args(&script.command[1..]).env_clear().envs(variables(attempt)).current_dir("/");
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    if let Some(user) = &script.user {
        let (user, group) = identity(user)?;
        command.uid(user).gid(group);
    }
    let child = command.spawn()?;
    Ok((child, pipe::Receiver::from_owned_fd(reader.into())?))
}

/// What a script is told.
fn variables(attempt: Attempt<'_>) -> Vec<(&'static str, String)> {
    let target = attempt.target.address;
    let mut variables = vec![
        ("PATH", PATH.to_owned()),
        ("VIP_ADDRESS", target.ip().to_string()),
        ("VIP_TIMEOUT_MS", attempt.timeout.as_millis().to_string()),
    ];
    if target.port() != 0 {
        variables.push(("VIP_PORT", target.port().to_string()));
    }
    let backend = match attempt.target.path {
        Path::Lane { interface, mark, towards } => {
            variables.push(("VIP_INTERFACE", interface.clone()));
            variables.push(("VIP_MARK", mark.to_string()));
            *towards
        }
        Path::Routed | Path::Here => target.ip(),
    };
    variables.push(("VIP_BACKEND_ADDRESS", backend.to_string()));
    variables
}

/// A user of this box and their group, by name.
fn identity(name: &str) -> io::Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no user {name:?}")))
}

/// Reads along until the script ends; what processes that it has left behind have to say is not waited for.
async fn follow(child: &mut Child, output: &mut pipe::Receiver) -> Result<(), Cause> {
    let (mut said, mut written, mut is_open) = (Vec::new(), 0, true);
    let mut chunk = [0; 4096];
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            read = output.read(&mut chunk), if is_open => {
                let length = read.unwrap_or_default();
                is_open = length > 0;
                written += length;
                keep(&mut said, &chunk[..length]);
            }
        }
        if written > MAX_OUTPUT {
            return Err(Cause::ScriptFlood { limit: MAX_OUTPUT });
        }
    };
    while let Some(length) = output.try_read(&mut chunk).ok().filter(|length| *length > 0) {
        keep(&mut said, &chunk[..length]);
        written += length;
        if written > MAX_OUTPUT {
            break;
        }
    }
    let status = status.map_err(|error| Cause::NotMade { said: words(&error) })?;
    judge(status, &said)
}

fn keep(said: &mut Vec<u8>, chunk: &[u8]) {
    said.extend_from_slice(&chunk[..chunk.len().min(MAX_SAID - said.len())]);
}

fn judge(status: ExitStatus, said: &[u8]) -> Result<(), Cause> {
    let said = String::from_utf8_lossy(said).replace(char::is_control, " ").trim().to_owned();
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(status), _) => Err(Cause::ScriptExit { status, said }),
        (None, signal) => Err(Cause::ScriptKilled { signal: signal.unwrap_or_default(), said }),
    }
}
