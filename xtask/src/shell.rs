//! Running other programs and talking to the person at the terminal: the only file here that prints.
//! What xtask says about itself goes to stderr, so that a verb's output stays its own.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "xtask is a command line tool")]

use std::{
    env, fmt, fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// Tells what is being done, or what was found.
pub(crate) fn say(message: impl fmt::Display) {
    eprintln!("xtask: {message}");
}

/// Prints a line of a verb's own output.
pub(crate) fn print(line: &str) {
    println!("{line}");
}

/// The directory that the workspace's `Cargo.toml` is in.
pub(crate) fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// The `cargo` that runs this program, in the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(cargo_path());
    command.current_dir(workspace());
    command
}

/// Where that `cargo` is.
pub(crate) fn cargo_path() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// Where cargo puts what it builds: this program is in there, in the directory of its profile.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let here = env::current_exe().context("find this program")?;
    Ok(here.ancestors().nth(2).context("find cargo's target directory")?.to_owned())
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Refuses to go on without root.
pub(crate) fn need_root(what: &str) -> Result<()> {
    if is_root() {
        return Ok(());
    }
    bail!("{what} needs root; try `sudo -E env PATH=\"$PATH\" cargo xtask …`")
}

/// Runs a program that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("run {}", name(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", name(command));
    }
    Ok(())
}

/// Becomes another program, so that signals, the terminal and the exit code are its own. Returns only on failure.
pub(crate) fn become_program(command: &mut Command) -> Result<()> {
    let error = command.exec();
    Err(error).with_context(|| format!("run {}", name(command)))
}

/// A command as a person would type it.
pub(crate) fn name(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
