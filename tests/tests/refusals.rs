//! Stories of what can't be: each bad input gets one clear error on stderr, the right exit code, and changes nothing.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    programs::{Xdp, XdpMode},
};
use vip_tests::{
    net::{Topology, TopologyBuilder, run},
    program::Refusal,
    stage::{Checks, Stage, TRACEABLE_VIPS},
};
use vip_userspace::dataplane::object;

const REFUSED: Option<i32> = Some(1);
const USAGE: Option<i32> = Some(2);
const NO_CONTROLLER: Option<i32> = Some(3);

fn topology() -> TopologyBuilder {
    Topology::builder().backends(1).vips(&TRACEABLE_VIPS)
}

/// Expects that `vip run` refuses, says all of that in few lines, and leaves no trace.
#[track_caller]
fn assert_refused(stage: &Stage, says: &[&str]) {
    let before = stage.traces().expect("the director tells");
    let refusal = stage.vip.refusal(&stage.topology.director.namespace).expect("it ends");
    assert_says(&refusal, REFUSED, says);
    assert_eq!(stage.traces().expect("the director tells"), before, "something was changed");
}

#[track_caller]
fn assert_says(refusal: &Refusal, code: Option<i32>, says: &[&str]) {
    assert_eq!(refusal.code, code, "{refusal:?}");
    for words in says {
        assert!(refusal.stderr.contains(words), "no {words:?} in {}", refusal.stderr);
    }
    assert!(refusal.stderr.lines().count() <= 4, "one clear error is wanted: {}", refusal.stderr);
    assert!(!refusal.stderr.contains("panicked"), "{}", refusal.stderr);
}

#[test]
fn a_bad_configuration_is_refused_with_its_line() -> Result<()> {
    let stage = Stage::build(topology())?;
    let good = stage.config();
    let interval = format!("interval = \"{}ms\"", Checks::PATIENT.interval().as_millis());
    let other_service = "\n[service.other]\nvip = \"10.200.0.7\"\nport = 80\nmembers = [\"backend1\"]\n";
    let mixed = "\n[service.mixed]\nvip = \"10.200.0.8\"\nport = 80\nmembers = [\"six\"]\ncheck = { tcp = true }\n\
                 [backend.six]\naddress = \"fd77::109\"\n";
    let cases: [(String, &[&str]); 11] = [
        (good.replacen("interval", "intervall", 1), &["line 8", "intervall", "\"interval\""]),
        (good.replacen("members", "membres", 1), &["line 7", "membres", "\"members\""]),
        (good.clone() + other_service, &["line", "other", "web4", "10.200.0.7"]),
        (good.replacen("10.77.0.101", "10.200.0.7", 1), &["10.200.0.7", "VIP", "backend1"]),
        (good.replacen("port = 80", "port = 0", 1), &["line 6", "port"]),
        (good.replacen("port = 80", "port = 65536", 1), &["line 6", "port", "65536"]),
        (
            good.replacen("[\"backend1\"]", "[{ backend = \"backend1\", weight = 1001 }]", 1),
            &["line 7", "weight", "1001", "1000"],
        ),
        (good.replacen(&interval, "interval = \"1ms\"", 1), &["line 8", "interval", "10ms"]),
        (good.replacen("rise = 2", "rise = 101", 1), &["line 8", "rise", "100"]),
        (good.replacen("fall = 3", "fall = 0", 1), &["line 8", "fall"]),
        (good.clone() + mixed, &["mixed", "six"]),
    ];
    for (text, says) in cases {
        assert_ne!(text, good);
        stage.vip.configure(&text)?;
        assert_refused(&stage, says);
        let config = stage.vip.config().display().to_string();
        let director = &stage.topology.director.namespace;
        let mut check = stage.vip.command(director, &["check", &config]);
        assert_says(&Refusal::of(&mut check, stage.vip.dir())?, REFUSED, says);
    }
    Ok(())
}

#[test]
fn an_interface_that_is_not_there_is_refused() -> Result<()> {
    let stage = Stage::build(topology())?;
    stage.vip.configure(&stage.config().replacen("eth0", "eth7", 1))?;
    assert_refused(&stage, &["eth7", "eth0"]);
    stage.vip.configure(&format!("egress-interfaces = [\"eth8\"]\n{}", stage.config()))?;
    assert_refused(&stage, &["eth8", "eth0"]);
    Ok(())
}

#[test]
fn a_backend_behind_a_gateway_is_refused() -> Result<()> {
    let stage = Stage::build(topology())?;
    stage.topology.director.namespace.ip(&["route add 10.88.0.0/24 via 10.77.0.101"])?;
    stage.vip.configure(&stage.config().replacen("10.77.0.101", "10.88.0.9", 1))?;
    assert_refused(&stage, &["10.88.0.9", "gateway 10.77.0.101"]);
    Ok(())
}

#[test]
fn an_interface_with_another_xdp_program_is_named_and_left_alone() -> Result<()> {
    let stage = Stage::build(topology())?;
    let mut object: Ebpf = EbpfLoader::new().load(object::MEASURE)?;
    let program: &mut Xdp =
        object.program_mut("pass").context("the object has no program pass")?.try_into()?;
    program.load()?;
    let id = program.info()?.id();
    let director = &stage.topology.director.namespace;
    director.run(|| program.attach("eth0", XdpMode::Driver))??;
    let id = id.to_string();
    assert_refused(&stage, &["eth0", "another XDP program", "pass", &id]);
    let link = run(director.command("ip").args(["-details", "link", "show", "eth0"]))?;
    assert!(link.contains(&format!("prog/xdp id {id}")), "{link}");
    Ok(())
}

#[test]
fn a_second_controller_is_refused_and_the_first_goes_on() -> Result<()> {
    let mut stage = Stage::ready(topology())?;
    let pid = stage.controller.as_mut().expect("the stage is ready").process().id();
    assert_refused(&stage, &[&pid.to_string(), "controller"]);
    assert_eq!(stage.status()?.pid, Some(pid));
    Ok(())
}

#[test]
fn a_stale_socket_is_taken_over() -> Result<()> {
    let mut stage = Stage::build(topology())?;
    fs::create_dir_all(stage.vip.run_dir())?;
    drop(UnixListener::bind(stage.vip.socket())?);
    assert!(stage.vip.socket().exists());
    // Nobody listens there yet, so this can only be the controller.
    stage.start()?;
    assert!(stage.status()?.controller);
    Ok(())
}

#[test]
fn pins_of_another_layout_are_refused() -> Result<()> {
    let stage = Stage::build(topology())?;
    let pins = stage.vip.bpffs().join("vip/lab/v99");
    fs::create_dir_all(&pins)?;
    assert_refused(&stage, &["v99", "another layout", "vip detach"]);
    let detached = stage.vip.output(&stage.topology.director.namespace, &["detach"])?;
    assert_eq!(detached.status.code(), Some(0), "{detached:?}");
    assert!(!pins.exists());
    Ok(())
}

#[test]
fn a_directory_without_a_bpf_file_system_is_refused() -> Result<()> {
    let stage = Stage::build(topology())?;
    let elsewhere = stage.vip.dir().display().to_string();
    let config = stage.vip.config().display().to_string();
    let director = &stage.topology.director.namespace;
    let arguments = ["run", "--config", &config, "--bpffs", &elsewhere];
    let refusal = Refusal::of(&mut stage.vip.command(director, &arguments), stage.vip.dir())?;
    assert_says(&refusal, REFUSED, &[&elsewhere, "mount -t bpf"]);
    assert_eq!(stage.traces()?, [""; 0]);
    Ok(())
}

#[test]
fn nobody_but_root_can_run_it() -> Result<()> {
    let stage = Stage::build(topology())?;
    // Where everybody may look, unlike in the directory of a build.
    let dir = stage.topology.director.namespace.dir()?.join("for-all");
    fs::create_dir_all(&dir)?;
    let copy = dir.join("vip");
    fs::copy(stage.vip.program(), &copy)?;
    for path in [&dir, &copy] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    let config = stage.vip.config().display().to_string();
    let mut command = stage.topology.director.namespace.command("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(copy);
    command.args(stage.vip.options()).args(["run", "--config", &config]);
    assert_says(&Refusal::of(&mut command, &dir)?, REFUSED, &["root"]);
    assert_eq!(stage.traces()?, [""; 0]);
    Ok(())
}

#[test]
fn an_old_kernel_is_refused() -> Result<()> {
    let stage = Stage::build(topology())?;
    let config = stage.vip.config().display().to_string();
    let mut command = stage.topology.director.namespace.command("setarch");
    command.arg("--uname-2.6").arg(stage.vip.program()).args(stage.vip.options());
    let refusal = Refusal::of(command.args(["run", "--config", &config]), stage.vip.dir())?;
    assert_says(&refusal, REFUSED, &["Linux 6.1", "2.6."]);
    assert_eq!(stage.traces()?, [""; 0]);
    Ok(())
}

#[test]
fn verbs_without_a_controller_say_so_and_a_bad_command_line_is_usage() -> Result<()> {
    let stage = Stage::build(topology())?;
    let director = &stage.topology.director.namespace;
    let refusal =
        |arguments: &[&str]| Refusal::of(&mut stage.vip.command(director, arguments), stage.vip.dir());
    for arguments in
        [&["status"] as &[&str], &["detach"], &["service", "list"], &["backend", "disable", "backend1"]]
    {
        assert_says(&refusal(arguments)?, NO_CONTROLLER, &["no controller"]);
    }
    for arguments in [&["rum"] as &[&str], &["run"], &["backend", "weight", "backend1", "many"]] {
        assert_eq!(refusal(arguments)?.code, USAGE);
    }
    let json = refusal(&["status", "--json"])?;
    let error: serde_json::Value = serde_json::from_str(&json.stderr).with_context(|| json.stderr.clone())?;
    assert_eq!(error["error"]["code"], "no-controller");
    Ok(())
}

#[test]
fn a_command_that_can_not_be_is_refused_and_changes_nothing() -> Result<()> {
    let stage = Stage::ready(topology())?;
    let director = &stage.topology.director.namespace;
    let before =
        stage.status()?.services.iter().map(|service| service.members.clone()).collect::<Vec<_>>().len();
    let cases: [(&[&str], &[&str]); 4] = [
        (&["backend", "disable", "backend9"], &["backend9"]),
        (&["backend", "weight", "backend1", "1001"], &["1001"]),
        (&["service", "remove", "web9"], &["web9"]),
        (&["backend", "add", "backend1", "--address", "10.77.0.9"], &["backend1"]),
    ];
    for (arguments, says) in cases {
        let refusal = Refusal::of(&mut stage.vip.command(director, arguments), stage.vip.dir())?;
        assert_says(&refusal, REFUSED, says);
    }
    assert_eq!(stage.status()?.services.len(), before);
    Ok(())
}
