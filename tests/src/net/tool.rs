//! Programs of the system (`ip`, `ethtool`), run to their end, with errors that say what was run and what it said.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// Says so if this process is not root: namespaces and BPF programs need it, and no test skips in silence.
///
/// # Errors
/// This process is not root.
pub fn require_root() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "network namespaces and BPF programs need root: run this as root, for example with sudo"
    );
    Ok(())
}

/// A program of the Python environment below cargo's target directory, which `cargo xtask setup` makes.
///
/// # Errors
/// It is not there.
pub fn python(program: &str) -> Result<PathBuf> {
    let here = std::env::current_exe().context("find this program")?;
    let target = here.ancestors().nth(3).context("find cargo's target directory")?;
    let program = target.join("python/bin").join(program);
    ensure!(program.exists(), "there is no {}: run `cargo xtask setup`", program.display());
    Ok(program)
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// It can't be run, or failed: with its command line and what it said on stderr.
pub fn run(command: &mut Command) -> Result<String> {
    run_with_input(command, "")
}

/// Runs a program to its end with `input` on its stdin, and returns what it printed.
///
/// # Errors
/// It can't be run, or failed: with its command line and what it said on stderr.
pub fn run_with_input(command: &mut Command, input: &str) -> Result<String> {
    let line = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C is for this program, which then cleans up with the help of others.
    let mut child = command.process_group(0).spawn().with_context(|| format!("run {line}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early need not read it all; its exit code tells.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| format!("run {line}"))?;
    ensure!(
        output.status.success(),
        "{line}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_program_is_named_with_what_it_said() {
        let error = run(Command::new("sh").args(["-c", "echo no such luck >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("\"sh\"") && text.contains("no such luck") && text.contains('3'), "{text}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Command::new("vip-no-such-program")).unwrap_err();
        assert!(error.to_string().contains("vip-no-such-program"), "{error}");
    }
}
