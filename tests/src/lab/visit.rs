//! Visits to a lab that was left up: a shell on one of its hosts, a look at it, and its end.

use std::{
    env, fs,
    io::{self, Write as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::place::{self, Record};
use crate::net::require_root;

/// Runs a program, or a shell, on a host of a lab: this process becomes it.
pub(super) fn shell(name: Option<&str>, host: &str, program: &[String]) -> Result<()> {
    require_root()?;
    let lab = place::find(name)?;
    let host = lab.host(host)?;
    let mut path = vec![lab.tools()?];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}-{host}", lab.name)).arg("--");
    match program {
        [] => {
            say(&format!("{host} of {}: `vip` is the lab's; `exit` leaves the lab up", lab.name));
            command.arg(env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into()))
        }
        program => command.args(program),
    };
    command.env("PATH", env::join_paths(path).context("make a PATH")?).env("VIP_LAB_HOST", &host);
    Err(command.exec()).context("run nsenter")
}

/// Shows what is up.
pub(super) fn status(name: Option<&str>) -> Result<()> {
    require_root()?;
    let lab = place::find(name)?;
    say(&format!("{} is up", lab.name));
    lab.describe().iter().for_each(|line| say(line));
    let mut vip = Command::new(&lab.program);
    let status = vip.args(&lab.options).arg("status").status().context("run vip status")?;
    ensure!(status.success(), "vip status ended with {status}");
    Ok(())
}

/// Removes the lab of that name, or all that were left, or left behind.
pub(super) fn down(name: Option<&str>) -> Result<()> {
    require_root()?;
    let names = match name {
        Some(name) => {
            ensure!(
                place::is_left(name),
                "there is no lab {name}, or it is still being shown: then interrupt it"
            );
            vec![name.to_owned()]
        }
        None => place::left()?.into_iter().map(|(name, _)| name).collect(),
    };
    for name in &names {
        place::remove(name);
        say(&format!("{name} is removed"));
    }
    if names.is_empty() {
        say("no lab is up");
    }
    Ok(())
}

impl Record {
    /// How to enter it, line by line.
    pub(super) fn describe(&self) -> Vec<String> {
        let addresses = |addresses: &[std::net::IpAddr]| {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join("  ")
        };
        let hosts = self
            .hosts
            .iter()
            .map(|(host, of_host)| format!("    {host:<10}  {}", addresses(of_host)).trim_end().to_owned());
        let vips = format!("    {:<10}  {}", "VIPs", addresses(&self.vips));
        let [first, ..] = self.vips.as_slice() else { return Vec::new() };
        hosts
            .chain([
                vips,
                format!("cargo xtask lab shell client -- curl http://{first}/"),
                "cargo xtask lab shell director      # then, for instance: vip status".to_owned(),
                "cargo xtask lab down".to_owned(),
            ])
            .collect()
    }

    /// The full name of a host: `client` is `client1`, `b2` is `backend2`.
    fn host(&self, wanted: &str) -> Result<String> {
        let short = |name: &str| match name.strip_prefix("backend") {
            Some(number) => format!("b{number}"),
            None => name.trim_end_matches('1').to_owned(),
        };
        let found = self.hosts.iter().find(|(name, _)| name == wanted || short(name) == wanted);
        let names: Vec<_> = self.hosts.iter().map(|(name, _)| name.as_str()).collect();
        let (name, _) = found.with_context(|| {
            format!("there is no host {wanted:?} in {}: it has {}", self.name, names.join(", "))
        })?;
        Ok(name.clone())
    }

    /// A directory with a `vip` that finds the lab's installation by itself.
    fn tools(&self) -> Result<PathBuf> {
        let dir = Path::new("/run/vip-lab").join(&self.name).join("bin");
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let options: Vec<_> = self.options.iter().map(|option| quoted(option)).collect();
        let program = quoted(&self.program.display().to_string());
        let script = format!("#!/bin/sh\nexec {program} {} \"$@\"\n", options.join(" "));
        let path = dir.join("vip");
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        fs::write(&path, script).with_context(|| format!("write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("make it a program")?;
        Ok(dir)
    }
}

fn say(line: &str) {
    // Nobody may be listening: that is no reason to leave a lab half removed.
    let _ = writeln!(io::stdout(), "{line}");
}
