//! The command `vip` as its users see it: what it prints where, and its exit codes.

use std::{
    io::Read,
    os::unix::net::UnixListener as StdListener,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::UnixListener,
    sync::{mpsc, watch},
};
use vip_userspace::{
    control::{
        Answer, Code, Desk, Herald, Limits, Query, Refused, Request, Status, Wanted,
        protocol::{DrainingMember, Rules},
        server::serve,
    },
    model::Others,
};

/// `vip` with its directories below `directory`, and no colours.
fn vip(directory: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vip"));
    command
        .args(arguments.split(' '))
        .arg("--run-dir")
        .arg(directory)
        .arg("--state-dir")
        .arg(directory.join("state"))
        .arg("--bpffs")
        .arg(directory.join("bpf"))
        .env_remove("VIP_INSTANCE")
        .stdin(Stdio::null());
    command
}

fn run(directory: &Path, arguments: &str) -> Output {
    vip(directory, arguments).output().expect("run vip")
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("text")
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("no JSON: {error}: {:?}", text(bytes)))
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// A controller in a thread of its own, which ends with the process: it knows one backend, `b1`, whose drain is over at the
/// third question: with a flow left, if it was given a time.
fn controller(directory: &Path) {
    let listener = StdListener::bind(directory.join("default.sock")).expect("a socket");
    listener.set_nonblocking(true).expect("a socket for tokio");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (sender, mut requests) = mpsc::channel(1);
            let (_herald, listening) = Herald::new();
            let owner = rustix::process::geteuid().as_raw();
            let rules = Rules { owner, group: 0, group_name: "root".to_owned(), others: Others::None };
            let (_rules, watched) = watch::channel(rules);
            let desk = Desk::new(sender, listening, watched, Limits::default());
            tokio::spawn(serve(UnixListener::from_std(listener).expect("a listener"), desk));
            let (mut asked, mut is_timed) = (0, false);
            while let Some(Request { what, answer, .. }) = requests.recv().await {
                is_timed |= json!(what_is_wanted(&what))["timeout"].is_string();
                asked += u32::from(matches!(what, Wanted::Query(Query::Drain { .. })));
                let known = json!(what_is_wanted(&what)).to_string();
                let reply = match what {
                    Wanted::Query(Query::Status) => Ok(Answer::Status(Box::new(status()))),
                    Wanted::Query(Query::Drain { .. }) => Ok(Answer::Drain(vec![drain(asked, is_timed)])),
                    Wanted::Query(_) | Wanted::Trace(_) | Wanted::EndTrace => {
                        Err(Refused::new(Code::Failed, "this one knows no more"))
                    }
                    Wanted::Command(_) if known.contains("b1") => Ok(Answer::Done),
                    Wanted::Command(_) => Err(Refused::new(Code::NoBackend, "there is no such backend")
                        .with_remedy("see `vip backend list`")),
                };
                // Who asked may have been killed.
                let _ = answer.send(reply);
            }
        });
    });
}

fn what_is_wanted(what: &Wanted) -> Value {
    match what {
        Wanted::Command(command) => json!(command),
        Wanted::Query(query) => json!(query),
        Wanted::Trace(request) => json!(request),
        Wanted::EndTrace => Value::Null,
    }
}

/// How far a drain is that is asked for the so-manieth time.
fn drain(asked: u32, is_timed: bool) -> DrainingMember {
    let left = 3_u32.saturating_sub(asked);
    let timeout = is_timed.then_some(left);
    let drain = json!({
        "maintenance": false, "seconds": asked, "flows_left": left, "unknown_slots": 10 * left,
        "unknown_seconds": (left > 0).then_some(65), "timeout_seconds": timeout, "gone": left == 0
    });
    let end = json!({ "timed_out": true, "flows_left": 1, "unknown_slots": 7 });
    let member = match is_timed && left == 0 {
        true => json!({ "service": "web", "admin": "disabled", "drain": null, "ended": end }),
        false => json!({ "service": "web", "admin": "draining", "drain": drain, "ended": null }),
    };
    serde_json::from_value(member).expect("a member")
}

fn status() -> Status {
    let status = json!({
        "instance": "default", "version": "0.1.0", "controller": true, "pid": 7, "uptime_seconds": 1, "layout": 1,
        "interfaces": [{ "name": "eth0", "ifindex": 2, "mode": "generic", "mac": null }],
        "services": [], "reasons": [],
        "backends": [{ "name": "b1", "addresses": [], "services": [], "packets": 0, "bytes": 0, "flows": 0 }]
    });
    serde_json::from_value(status).expect("a status")
}

#[test]
fn who_waits_for_a_drain_sees_a_line_for_each_change_and_its_end() {
    let place = directory();
    controller(place.path());
    let output = run(place.path(), "backend drain b1 --wait");
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (
            Some(0),
            "b1: 2 flows left, silent ones unknown for 1m 5s\n\
             b1: 1 flow left, silent ones unknown for 1m 5s\n\
             b1 is drained: no flow is left\n"
        ),
        "{output:?}"
    );
    let place = directory();
    controller(place.path());
    let output = run(place.path(), "maintenance on b1 --wait --json");
    let lines: Vec<_> = text(&output.stdout).lines().map(|line| json_of(line.as_bytes())).collect();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(
        (&lines[0]["ended"], &lines[0]["members"][0]["drain"]["flows_left"]),
        (&json!(false), &json!(2))
    );
    let end = json!({
        "backend": "b1", "ended": true, "timed_out": false, "disabled": false, "flows_left": 0, "unknown_slots": 0
    });
    assert_eq!(lines[2], end);
}

#[test]
fn a_drain_whose_time_is_over_is_told_with_what_was_left_and_exits_with_1() {
    let place = directory();
    controller(place.path());
    let output = run(place.path(), "backend drain b1 --timeout 10m --wait");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout).ends_with("b1: 1 flow left, silent ones unknown for 1m 5s; disabled in 1s\n")
    );
    assert_eq!(
        text(&output.stderr),
        "error: b1: the time is over with 1 flow left, and any that were silent in 7 slots: it is disabled now\n"
    );
    let place = directory();
    controller(place.path());
    let output = run(place.path(), "backend drain b1 --timeout 10m --wait --json");
    let last = text(&output.stdout).lines().last().map(|line| json_of(line.as_bytes())).expect("a line");
    assert_eq!(
        (output.status.code(), &last["timed_out"], &last["flows_left"]),
        (Some(1), &json!(true), &json!(1))
    );
    assert_eq!(json_of(&output.stderr)["error"]["code"], "flows-left");
}

#[test]
fn without_a_controller_every_verb_that_needs_one_exits_with_3() {
    let directory = directory();
    for arguments in [
        "status",
        "detach",
        "service list",
        "service add web 10.200.0.1:80/tcp",
        "service remove web",
        "backend list",
        "backend add b1 --address 10.0.0.1",
        "backend remove b1",
        "backend enable b1",
        "backend drain b1",
        "backend disable b1",
        "backend weight b1 1",
        "backend drain b1 --wait",
        "maintenance on b1",
        "maintenance off b1",
        "maintenance list",
    ] {
        let output = run(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments}: {output:?}");
        assert_eq!(text(&output.stdout), "", "{arguments}");
        let said = text(&output.stderr);
        assert!(said.starts_with("error: no controller listens on "), "{arguments}: {said}");
        assert!(said.contains("\nhelp: start it with `vip run --config FILE`"), "{arguments}: {said}");
    }
    let left: Vec<_> = directory.path().read_dir().expect("the directory").collect();
    assert!(left.is_empty(), "nothing is made: {left:?}");
}

#[test]
fn what_reads_pins_alone_says_where_none_are_and_exits_with_3() {
    let directory = directory();
    for arguments in ["flows", "explain --src 192.0.2.7:1 --dst 10.200.0.1:80"] {
        let output = run(directory.path(), arguments);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(3), ""), "{output:?}");
        let said = text(&output.stderr);
        assert!(said.starts_with("error: nothing of instance default is pinned at "), "{said}");
        assert!(said.contains("\nhelp: start it with `vip run --config FILE`"), "{said}");
    }
    for arguments in ["explain", "explain --src 192.0.2.7:1", "explain --src 192.0.2.7:1 --dst [fd00::1]:80"]
    {
        assert_eq!(run(directory.path(), arguments).status.code(), Some(2), "{arguments}");
    }
}

#[test]
fn without_a_controller_the_error_is_json_where_that_is_asked_for() {
    let output = run(directory().path(), "backend disable b1 --json");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stdout), "");
    assert_eq!(json_of(&output.stderr)["error"]["code"], "no-controller");
}

#[test]
fn a_bad_command_line_exits_with_2() {
    let directory = directory();
    for arguments in ["", "stauts", "status now", "run", "service add web 10.0.0.1", "backend weight b1 much"]
    {
        let output = run(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {output:?}");
        assert_eq!(text(&output.stdout), "", "{arguments}");
    }
    let together = run(directory.path(), "backend add b1 --address 10.0.0.1 --address 10.0.0.2");
    assert_eq!(together.status.code(), Some(2), "{together:?}");
    let output = run(directory.path(), "stauts --json");
    assert_eq!(output.status.code(), Some(2));
    let error = &json_of(&output.stderr)["error"];
    assert_eq!(error["code"], "usage");
    assert!(
        error["message"].as_str().is_some_and(|said| said.starts_with("unrecognized subcommand 'stauts'"))
    );
}

#[test]
fn help_version_and_completions_are_results() {
    let directory = directory();
    for (arguments, said) in [
        ("--help", "Exit codes: 0 done, 1 refused, 2 usage, 3 no controller"),
        ("service add --help", "vip service add web 10.200.0.1:80/tcp"),
        ("--version", "vip 0.1.0"),
        ("backend drain --help", "vip backend drain b1 --service web"),
        ("completions bash", "complete -F _vip"),
        ("completions bash", "vip__subcmd__backend__subcmd__drain"),
        ("completions zsh", "#compdef vip"),
        ("completions zsh", "round-robin\\:\"each member in its turn"),
        ("completions fish", "complete -c vip"),
        ("explain --help", "vip explain --src 192.0.2.7:40000 --dst 10.200.0.1:80 --syn"),
        ("flows --help", "vip flows --backend b1"),
        ("doctor --help", "vip doctor eth0 --seconds 10"),
        ("doctor backend --help", "sh backend.sh --fix"),
    ] {
        let output = run(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments}: {output:?}");
        assert!(text(&output.stdout).contains(said), "{arguments}: {output:?}");
        assert_eq!(text(&output.stderr), "", "{arguments}");
    }
}

#[test]
fn what_is_done_is_said_and_exits_with_0() {
    let directory = directory();
    controller(directory.path());
    for (arguments, said) in [
        ("backend disable b1", "disabled backend b1 in all its services\n"),
        (
            "backend drain b1",
            "draining backend b1 in all its services: it keeps its flows, and gets no new ones\n",
        ),
        ("backend enable b1 --service web", "enabled backend b1 in service web\n"),
        ("backend weight b1 0 --json", "{\n  \"done\": true\n}\n"),
        ("service add web 10.0.0.1:80 --member b1", "added service web, 10.0.0.1:80/tcp\n"),
    ] {
        let output = run(directory.path(), arguments);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), said), "{arguments}: {output:?}");
        assert_eq!(text(&output.stderr), "", "{arguments}");
    }
    let output = run(directory.path(), "status");
    assert!(text(&output.stdout).starts_with("instance default, controller 7, up 1s"), "{output:?}");
    let output = run(directory.path(), "status --json");
    assert_eq!(serde_json::from_value::<Status>(json_of(&output.stdout)).expect("a status"), status());
    let output = run(directory.path(), "backend list --json");
    assert_eq!(json_of(&output.stdout)["backends"][0]["name"], "b1");
}

#[test]
fn what_is_refused_exits_with_1_and_says_what_helps() {
    let directory = directory();
    controller(directory.path());
    let output = run(directory.path(), "backend disable b9");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    assert_eq!(text(&output.stderr), "error: there is no such backend\nhelp: see `vip backend list`\n");
    let output = run(directory.path(), "backend disable b9 --json");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    let error = json!({ "error": {
        "code": "no-backend", "message": "there is no such backend", "remedy": "see `vip backend list`"
    } });
    assert_eq!(json_of(&output.stderr), error);
}

#[test]
fn colours_are_for_terminals_unless_asked_for() {
    let directory = directory();
    controller(directory.path());
    let plain = run(directory.path(), "status");
    assert!(!text(&plain.stdout).contains('\u{1b}'), "{plain:?}");
    let colored = run(directory.path(), "status --color always");
    assert!(text(&colored.stdout).contains("\u{1b}[33mgeneric"), "{colored:?}");
    let plain =
        vip(directory.path(), "status --color never").env("CLICOLOR_FORCE", "1").output().expect("run");
    assert!(!text(&plain.stdout).contains('\u{1b}'), "{plain:?}");
}

#[test]
fn somebody_who_stops_reading_is_no_error() {
    let mut child = vip(directory().path(), "completions bash")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run vip");
    drop(child.stdout.take());
    assert!(child.wait().expect("its end").success());
    let mut said = String::new();
    child.stderr.take().expect("its stderr").read_to_string(&mut said).expect("read");
    assert_eq!(said, "");
}
