//! What the tests have of PyPI: in a Python environment of its own below `target`, of the versions that `toolchain.rs` pins.
//! Knows pip; not what it is for.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{
    setup,
    shell::{self, say},
    toolchain::PYTHON_PACKAGES,
};

/// What installs it: the program, and Debian's package of it.
pub(crate) const PROGRAMS: [(&str, &str); 1] = [("python3", "python3-venv")];
/// Prints the installed version of each package that is named.
const VERSIONS: &str =
    "import sys, importlib.metadata as m; print(*(f'{p}=={m.version(p)}' for p in sys.argv[1:]))";

/// Where it is.
fn home() -> Result<PathBuf> {
    Ok(shell::target_dir()?.join("python"))
}

/// The packages with their versions, as pip writes them.
fn wanted() -> String {
    PYTHON_PACKAGES.map(|(package, version)| format!("{package}=={version}")).join(" ")
}

/// What is missing, if anything: the packages with their versions.
pub(crate) fn missing() -> Result<Option<String>> {
    let mut python = Command::new(home()?.join("bin/python3"));
    let packages = PYTHON_PACKAGES.map(|(package, _)| package);
    let found = python.args(["-c", VERSIONS]).args(packages).stderr(Stdio::null()).output();
    let are_there = found.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == wanted());
    Ok((!are_there).then(wanted))
}

/// The commands that install it.
pub(crate) fn install_commands() -> Result<[String; 2]> {
    let home = home()?.display().to_string();
    Ok([
        format!("python3 -m venv {home}"),
        format!("{home}/bin/pip install --quiet --disable-pip-version-check {}", wanted()),
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
            .with_context(|| format!("{missing} could not be installed"))?;
    }
    Ok(())
}
