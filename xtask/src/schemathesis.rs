//! schemathesis, which tries the control API by its description: in a Python environment of its own below `target`, of the
//! version that `toolchain.rs` pins. Knows pip; not what is tried.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{
    setup,
    shell::{self, say},
    toolchain::SCHEMATHESIS,
};

/// What installs it: the program, and Debian's package of it.
pub(crate) const PROGRAMS: [(&str, &str); 1] = [("python3", "python3-venv")];

/// Where it is.
fn home() -> Result<PathBuf> {
    Ok(shell::target_dir()?.join("schemathesis"))
}

/// What is missing of it, if anything: its name and version.
pub(crate) fn missing() -> Result<Option<String>> {
    let program = home()?.join("bin/schemathesis");
    let found = Command::new(program).arg("--version").stderr(Stdio::null()).output();
    let is_there = found.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(SCHEMATHESIS));
    Ok((!is_there).then(|| format!("schemathesis {SCHEMATHESIS}")))
}

/// The commands that install it.
pub(crate) fn install_commands() -> Result<[String; 2]> {
    let home = home()?.display().to_string();
    Ok([
        format!("python3 -m venv {home}"),
        format!("{home}/bin/pip install --quiet --disable-pip-version-check schemathesis=={SCHEMATHESIS}"),
    ])
}

/// Installs it if it is missing.
pub(crate) fn ensure() -> Result<()> {
    let Some(missing) = missing()? else { return Ok(()) };
    say(format!("missing: {missing}"));
    setup::ensure_programs(&PROGRAMS)?;
    for command in install_commands()? {
        say(&command);
        let mut words = command.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        shell::run(command.args(words).stdin(Stdio::null()))
            .context("schemathesis could not be installed")?;
    }
    Ok(())
}
