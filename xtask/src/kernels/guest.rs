//! What is in a guest: the test programs and `vip`, the programs that they run, and the libraries of all of them, as an
//! archive that the kernel unpacks at its start. It does not know what is tested, nor how a guest is run.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::{cpio::Archive, fetch::Kernel};
use crate::{shell, test, toolchain};

/// The first process.
const INIT: &str = include_str!("init.sh");
/// Test programs that are run in a guest: packet cases, the program on interfaces, HTTP through it, the controller.
const TESTS: [&str; 5] = ["packets", "dataplane", "traffic", "attach", "through"];
/// nginx asks for `nobody` before it serves.
const USERS: &str = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUPS: &str = "root:x:0:\nnogroup:x:65534:\n";
/// Where the kernel's own file systems and the guest's files go.
const DIRECTORIES: [&str; 8] =
    ["proc", "sys", "dev", "tmp", "run", "usr/share/nginx", "var/lib/nginx", "var/log/nginx"];

/// Builds the test programs and `vip`; returns where they are, each with its name in the guest.
pub(super) fn build() -> Result<Vec<(String, PathBuf)>> {
    // The same packages as all tests, so that cargo builds nothing twice.
    shell::run(shell::cargo().arg("build").args(test::PACKAGES))?;
    let mut command = shell::cargo();
    command.arg("test").args(test::PACKAGES).args(["--no-run", "--message-format=json-render-diagnostics"]);
    command.args(TESTS.iter().flat_map(|test| ["--test", test])).stderr(Stdio::inherit());
    let output = command.output().context("run cargo test")?;
    ensure!(output.status.success(), "{} failed ({})", shell::name(&command), output.status);
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut programs: Vec<_> = messages.lines().filter_map(test_program).collect();
    for test in TESTS {
        let path = format!("tests/{test}");
        ensure!(programs.iter().any(|(name, _)| *name == path), "cargo built no test program {test}");
    }
    programs.push(("vip".to_owned(), shell::target_dir()?.join("debug/vip")));
    Ok(programs)
}

/// The test program that a line of cargo's messages tells of.
fn test_program(message: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let target = &message["target"];
    let is_test = target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "test"));
    let path = message["executable"].as_str().filter(|_| is_test)?;
    Some((format!("tests/{}", target["name"].as_str()?), path.into()))
}

/// Writes the first file system of a guest.
pub(super) fn write(kernel: &Kernel, programs: &[(String, PathBuf)], to: &Path) -> Result<()> {
    let file = File::create(to).with_context(|| format!("make {}", to.display()))?;
    let mut archive = Archive::new(BufWriter::new(file));
    for directory in DIRECTORIES {
        archive.directory(directory)?;
    }
    archive.device("dev/console", (5, 1))?;
    for (name, text) in [("init", INIT), ("etc/passwd", USERS), ("etc/group", GROUPS)] {
        archive.file(name, text.as_bytes())?;
    }
    for module in kernel.modules()? {
        add(&mut archive, "modules", &module)?;
    }
    for (program, package) in super::PROGRAMS_IN_GUEST.iter().chain(&toolchain::PROGRAMS) {
        let path = toolchain::program(program)
            .with_context(|| format!("{program} is missing; package {package} has it"))?;
        add_file(&mut archive, &format!("bin/{program}"), &path)?;
        add_libraries(&mut archive, &path)?;
    }
    for (name, path) in programs {
        let stripped = kernel.dir().join("stripped");
        // A program with its debug information is ten times as large, but does as well.
        let strip = Command::new("strip").arg("-o").arg(&stripped).arg(path).stderr(Stdio::null()).status();
        let smaller = strip.is_ok_and(|status| status.success());
        add_file(&mut archive, name, if smaller { &stripped } else { path })?;
        add_libraries(&mut archive, path)?;
    }
    archive.finish().with_context(|| format!("write {}", to.display()))
}

fn add(archive: &mut Archive<impl std::io::Write>, below: &str, path: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    add_file(archive, &format!("{below}/{name}"), path)
}

fn add_file(archive: &mut Archive<impl std::io::Write>, name: &str, path: &Path) -> Result<()> {
    if archive.contains(name) {
        return Ok(());
    }
    let content = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    archive.file(name, &content).with_context(|| format!("write {name}"))
}

/// Adds what a program is linked with, where it looks for it.
fn add_libraries(archive: &mut Archive<impl std::io::Write>, program: &Path) -> Result<()> {
    let output = Command::new("ldd").arg(program).output().context("run ldd")?;
    for library in libraries(&String::from_utf8_lossy(&output.stdout)) {
        add_file(archive, library, Path::new(library))?;
    }
    Ok(())
}

/// The paths in what ldd(1) prints; a static program has none.
fn libraries(ldd: &str) -> impl Iterator<Item = &str> {
    ldd.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_in_what_ldd_prints() {
        let ldd = "\tlinux-vdso.so.1 (0x00007ffc2b5f4000)\n\
                   \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f2d1c400000)\n\
                   \t/lib64/ld-linux-x86-64.so.2 (0x00007f2d1c7e4000)\n";
        let found: Vec<_> = libraries(ldd).collect();
        assert_eq!(found, ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert_eq!(libraries("\tstatically linked\n").count(), 0);
    }

    #[test]
    fn test_programs_are_found_in_what_cargo_prints() {
        let message = |kind, executable| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"kind":["{kind}"],"name":"packets"}},"executable":{executable}}}"#
            )
        };
        let found = Some(("tests/packets".to_owned(), PathBuf::from("/target/packets-1")));
        assert_eq!(test_program(&message("test", r#""/target/packets-1""#)), found);
        assert_eq!(test_program(&message("lib", r#""/target/packets-1""#)), None);
        assert_eq!(test_program(&message("test", "null")), None);
        assert_eq!(test_program("no message"), None);
    }
}
