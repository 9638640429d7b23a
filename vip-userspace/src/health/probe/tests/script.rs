//! Scripts that end well, badly, late or never.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

use super::{LONG, SHORT};
use crate::{
    health::{Path, probe},
    model::{Cause, Probe, Script},
};

/// A script in a directory of its own.
fn script(text: &str) -> (TempDir, Script) {
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
    let path = dir.path().join("check");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    let command = vec![path.to_str().expect("text").to_owned()];
    (dir, Script { command, user: None })
}

async fn run(script: &Script, path: &Path, timeout: Duration) -> Result<(), Cause> {
    let address = SocketAddr::new(IpAddr::from([192, 0, 2, 1]), 8080);
    probe(&Probe::Script(script.clone()), address, path, timeout).await
}

async fn said(text: &str) -> String {
    let (_dir, script) = script(text);
    run(&script, &Path::Routed, LONG).await.map_or_else(|cause| cause.to_string(), |()| String::new())
}

#[tokio::test]
async fn the_end_of_a_script_decides() {
    assert_eq!(said("exit 0").await, "");
    assert_eq!(said("echo much; echo more >&2; exit 0").await, "");
    assert_eq!(said("exit 3").await, "the script ended with status 3");
    assert_eq!(said("echo no disk; exit 1").await, "the script ended with status 1: no disk");
    assert_eq!(said("echo no disk >&2; kill -TERM $$").await, "signal 15 ended the script: no disk");
    assert_eq!(said("printf 'a\\033[2Jb\\n'; exit 1").await, "the script ended with status 1: a [2Jb");
    let long = said("printf %1000d 1; exit 1").await;
    assert!(long.len() < 300, "{long}");
}

#[tokio::test]
async fn a_script_that_can_not_be_run_is_not_held_against_the_backend() {
    let (dir, good) = script("exit 0");
    let missing = Script { command: vec!["/nowhere/check".to_owned()], user: None };
    let nobody = Script { user: Some("no.such.user".to_owned()), ..good.clone() };
    let file = dir.path().join("text");
    fs::write(&file, "no program").expect("a file");
    let text = Script { command: vec![file.to_str().expect("text").to_owned()], user: None };
    for (script, words) in [
        (missing, "the probe could not be made: /nowhere/check: entity not found"),
        (text, "permission denied"),
        (nobody, "there is no user \"no.such.user\""),
    ] {
        let cause = run(&script, &Path::Routed, LONG).await.expect_err("it can't be run");
        assert!(!cause.counts() && cause.to_string().contains(words), "{cause}");
    }
}

#[tokio::test]
async fn a_script_knows_what_is_probed_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let seen = dir.path().join("seen");
    let (_dir, mut script) = script("{ pwd; cat; env | sort; echo $1; } >$1");
    script.command.push(seen.to_str().expect("text").to_owned());
    let lane =
        Path::Lane { interface: "eth7".to_owned(), mark: 0x7600_0001, towards: IpAddr::from([10, 0, 0, 11]) };
    run(&script, &lane, LONG).await.expect("success");
    let seen = fs::read_to_string(seen).expect("a file");
    let told: Vec<_> =
        seen.lines().filter(|line| !line.starts_with('_') && !line.starts_with("PWD=")).collect();
    assert_eq!(
        told[..told.len() - 1],
        [
            "/",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "VIP_ADDRESS=192.0.2.1",
            "VIP_BACKEND_ADDRESS=10.0.0.11",
            "VIP_INTERFACE=eth7",
            "VIP_MARK=1979711489",
            "VIP_PORT=8080",
            "VIP_TIMEOUT_MS=30000",
        ]
    );
}

#[tokio::test]
async fn a_script_runs_as_another_user() {
    let (_dir, script) =
        script("test $(id -un):$(id -gn):$(id -Gn) = nobody:nogroup:nogroup || { id; exit 1; }");
    let script = Script { user: Some("nobody".to_owned()), ..script };
    assert_eq!(run(&script, &Path::Routed, LONG).await, Ok(()));
}

/// Waits until a process that a script has written the number of is gone.
async fn is_gone(file: &std::path::Path) {
    let deadline = Instant::now() + LONG;
    let number = fs::read_to_string(file).expect("it was started").trim().parse().expect("a number");
    let process = Pid::from_raw(number).expect("a process");
    let is_there = || {
        let state = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        test_kill_process(process).is_ok() && !state.contains(") Z ")
    };
    while is_there() {
        assert!(Instant::now() < deadline, "process {number} lives on");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_script_that_hangs_is_killed_with_all_that_it_has_started() {
    let (dir, mut hangs) = script("sleep 3600 & echo $! >$1; trap '' TERM; wait");
    let file = dir.path().join("pid");
    hangs.command.push(file.to_str().expect("text").to_owned());
    // A busy machine may not even start it in that time.
    for timeout in SHORT {
        let late = run(&hangs, &Path::Routed, timeout).await.expect_err("it hangs");
        assert!(late.to_string().ends_with("while running the script"), "{late}");
        if fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')) {
            break;
        }
    }
    is_gone(&file).await;

    // One that has ended is not waited for by what it has left behind, and takes that along.
    let (dir, mut leaves) = script("sleep 3600 & echo $! >$1; exit 0");
    let file = dir.path().join("pid");
    leaves.command.push(file.to_str().expect("text").to_owned());
    assert_eq!(run(&leaves, &Path::Routed, LONG).await, Ok(()));
    is_gone(&file).await;
}

#[tokio::test]
async fn a_script_that_floods_is_killed_long_before_its_time_is_up() {
    assert_eq!(said("while :; do echo for ever; done").await, "the script wrote more than 65536 bytes");
    assert_eq!(said("yes >&2").await, "the script wrote more than 65536 bytes");
    assert_eq!(said("exec >&- 2>&-; exit 4").await, "the script ended with status 4");
}
