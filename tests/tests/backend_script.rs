//! The script of `vip doctor backend`, on a backend that is really broken: it says what is wrong, changes nothing unless it is
//! asked to, mends it, and then traffic flows.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vip_tests::{
    net::{Host, Namespace, Topology, run},
    stage::{Stage, is_in},
};

/// What stands in a namespace: addresses and the settings that the script knows.
fn state(host: &Namespace) -> Result<String> {
    // Those of links come by themselves.
    let addresses = run(host.command("ip").args(["-o", "address", "show", "scope", "global"]))?;
    let settings = host.run(|| -> std::io::Result<String> {
        let mut all = String::new();
        for interface in ["all", "eth0", "eth1", "lo"] {
            for setting in ["arp_ignore", "arp_announce", "rp_filter"] {
                all += &fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{interface}/{setting}"))?;
            }
            all += &fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"))?;
        }
        Ok(all)
    })??;
    Ok(addresses + &settings)
}

/// The script for a configuration, in a file; `more` are further options.
fn script(stage: &Stage, more: &[&str]) -> Result<PathBuf> {
    let config = stage.vip.config().display().to_string();
    let words = [&["doctor", "backend", "--config", &config], more].concat();
    let output = stage.vip.output(&stage.topology.director.namespace, &words)?;
    ensure!(output.status.success(), "{words:?}: {output:?}");
    let script = stage.vip.dir().join("backend.sh");
    fs::write(&script, &output.stdout).context("write the script")?;
    run(Command::new("sh").arg("-n").arg(&script))?;
    Ok(script)
}

fn runs(host: &Namespace, script: &Path, options: &[&str]) -> Result<(i32, String)> {
    let Output { status, stdout, stderr } =
        host.command("sh").arg(script).args(options).output().context("run the script")?;
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    Ok((status.code().unwrap_or(-1), said))
}

/// Makes a backend as wrong as it can be: no VIP where it belongs, and one where it does not; ARP for all; answers that leave by
/// another interface than requests come in by.
fn spoil(host: &Host, vips: &[IpAddr]) -> Result<()> {
    let [four, six] = vips else { anyhow::bail!("two VIPs") };
    host.namespace.ip(&[
        format!("address delete {four}/32 dev lo"),
        format!("address delete {six}/128 dev lo"),
        format!("address add {four}/32 dev eth0"),
        format!("address add {six}/128 dev eth0 nodad"),
        "link add eth1 type veth peer name far1".to_owned(),
        "address add 10.79.0.1/24 dev eth1".to_owned(),
        "link set far1 up".to_owned(),
        "link set eth1 up".to_owned(),
        "route add default via 10.79.0.2 dev eth1".to_owned(),
    ])?;
    host.namespace.sysctls(&[
        ("ipv4/conf/all/arp_ignore", "0"),
        ("ipv4/conf/eth0/arp_ignore", "3"),
        ("ipv4/conf/all/arp_announce", "0"),
        ("ipv4/conf/eth0/rp_filter", "1"),
        ("ipv6/conf/lo/disable_ipv6", "1"),
    ])
}

/// What a client gets of a server.
fn fetch(client: &Namespace, server: SocketAddr) -> Result<String> {
    client.run(|| {
        let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        anyhow::Ok(answer)
    })?
}

#[test]
fn the_script_finds_and_mends_a_broken_backend_and_then_traffic_flows() -> Result<()> {
    let mut stage = Stage::build(Topology::builder().backends(1))?;
    let backend = &stage.topology.backends[0];
    let host = &backend.namespace;
    let script = script(&stage, &[])?;
    let (code, said) = runs(host, &script, &[])?;
    assert_eq!(code, 0, "a whole one: {said}");
    assert!(!said.contains("WRONG") && said.contains("0 wrong, 0 mended"), "{said}");

    spoil(backend, &stage.topology.vips)?;
    let spoilt = state(host)?;
    let (code, said) = runs(host, &script, &[])?;
    assert_eq!(code, 1, "{said}");
    for wrong in [
        "WRONG  10.200.0.1 is on lo as /32, and nowhere else (found: 10.200.0.1/32 on eth0)",
        "WRONG  arp_ignore is 1 or 2: nobody is told of the VIPs (found: ",
        "WRONG  arp_announce is 2: nobody is asked in a VIP's name (found: ",
        "WRONG  rp_filter of eth0 lets requests in (found: 1, and answers leave elsewhere)",
        "WRONG  IPv6 works on lo (found: IPv6 is turned off)",
        "WRONG  fd00:200::1 is on lo as /128, and nowhere else (found: fd00:200::1/128 on eth0)",
        "       do: sysctl -w net.ipv4.conf.all.arp_ignore=1\n",
        "6 wrong, 0 mended",
    ] {
        assert!(said.contains(wrong), "{wrong}: {said}");
    }
    assert_eq!(state(host)?, spoilt, "looking changes nothing");

    let (code, said) = runs(host, &script, &["--fix"])?;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("0 wrong, 6 mended"), "{said}");
    let mended = state(host)?;
    for (options, told) in [(&[][..], "0 wrong, 0 mended"), (&["--fix"], "0 wrong, 0 mended")] {
        let (code, said) = runs(host, &script, options)?;
        assert!(code == 0 && said.contains(told) && !said.contains("mended "), "{said}");
        assert_eq!(state(host)?, mended, "a second time changes nothing");
    }

    // The way back to the client is the link itself; what was wrong with the other one matters to requests alone.
    stage.start()?;
    stage.wait_for("it to be in", |status| is_in(status, "backend1"))?;
    for server in stage.services() {
        let answer = fetch(&stage.topology.clients[0].namespace, server)?;
        assert!(answer.contains("backend1"), "{server}: {answer}");
    }
    Ok(())
}

#[test]
fn the_script_tells_what_does_not_listen_and_knows_its_options() -> Result<()> {
    let mut stage = Stage::build(Topology::builder().backends(1).clients(0))?;
    stage.end_server(0);
    let words = ["doctor", "backend", "--vip", "fd00:200::1", "--json"];
    let output = stage.vip.output(&stage.topology.director.namespace, &words)?;
    let told: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    assert_eq!(told["vips"], serde_json::json!(["fd00:200::1"]), "no configuration is needed");
    let script = script(&stage, &["--vip", "10.200.0.1"])?;
    let host = &stage.topology.backends[0].namespace;
    let (code, said) = runs(host, &script, &["--interface", "eth0"])?;
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("note   nothing listens on 10.200.0.1:80 (tcp)") && !said.contains("fd00"),
        "{said}"
    );
    for (options, wanted) in [
        (&["--help"][..], (0, "usage: sh backend.sh")),
        (&["--mend"], (2, "usage: sh backend.sh")),
        (&["--interface", "eth7"], (2, "there is no interface eth7")),
        (&["--interface"], (2, "--interface needs a name")),
    ] {
        let (code, said) = runs(host, &script, options)?;
        assert!(code == wanted.0 && said.contains(wanted.1), "{options:?}: {code}, {said}");
    }
    let nothing = stage.vip.output(&stage.topology.director.namespace, &["doctor", "backend"])?;
    let said = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert!(
        nothing.status.code() == Some(2) && said.contains("name them: vip doctor backend --vip"),
        "{said}"
    );
    Ok(())
}

#[test]
fn the_script_leaves_the_other_addresses_of_lo_where_they_are() -> Result<()> {
    let stage = Stage::build(Topology::builder().backends(1).clients(0))?;
    let host = &stage.topology.backends[0].namespace;
    let vip = "10.200.0.1";
    host.ip(&[
        format!("address delete {vip}/32 dev lo"),
        format!("address add {vip}/24 dev lo"),
        "address add 10.200.0.99/24 dev lo".to_owned(),
    ])?;
    let script = script(&stage, &["--vip", vip])?;
    let (code, said) = runs(host, &script, &["--fix", "--interface", "eth0"])?;
    assert_eq!(code, 0, "{said}");
    let addresses = run(host.command("ip").args(["-o", "address", "show", "dev", "lo"]))?;
    assert!(addresses.contains(&format!("{vip}/32")) && addresses.contains("10.200.0.99/24"), "{addresses}");
    Ok(())
}
