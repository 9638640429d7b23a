//! Running other programs and talking to the person at the terminal: the only file here that prints.
//! What xtask says about itself goes to stderr, so that a verb's output stays its own.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "xtask is a command line tool")]

use std::{
    env, fmt, fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};

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

/// Runs a program and hands on each line that it prints, errors among them, in the order in which they come.
pub(crate) fn read_lines(mut command: Command, mut read: impl FnMut(&str)) -> Result<ExitStatus> {
    // What the program leaves running may keep the pipe open for ever, so the end is a line of our own.
    const END: &str = "\0that is all";
    let name = name(&command);
    let (output, mut input) = io::pipe().context("make a pipe")?;
    command.stdout(input.try_clone()?).stderr(input.try_clone()?);
    let mut child = command.spawn().with_context(|| format!("run {name}"))?;
    let waiter = thread::spawn(move || {
        let status = child.wait()?;
        write!(input, "\n{END}\n")?;
        io::Result::Ok(status)
    });
    for line in BufReader::new(output).split(b'\n') {
        let line = line.with_context(|| format!("read from {name}"))?;
        match String::from_utf8_lossy(&line) {
            line if line == END => break,
            line => read(&line),
        }
    }
    let status = waiter.join().map_err(|_| anyhow!("the thread that waits for {name} died"))?;
    status.with_context(|| format!("wait for {name}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_in_their_order_with_the_errors_among_them() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; echo three; printf four; exit 3"]);
        let mut lines = Vec::new();
        let status = read_lines(command, |line| lines.push(line.to_owned())).expect("a shell");
        assert_eq!(lines, ["one", "two", "three", "four"]);
        assert_eq!(status.code(), Some(3));
    }
}
