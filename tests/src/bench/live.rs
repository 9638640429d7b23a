//! Live traffic: packets that cross a veth to a program on its far end, natively, and come back. The director's rate is
//! compared with that of a program that does nothing but send them back.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, PerCpuArray, ProgramArray},
    programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode},
};
use bytemuck::{bytes_of, cast};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};
use serde::Serialize;
use vip_common::measure::Drive;
use vip_userspace::dataplane::object;

use super::{
    report::{Bar, Limit, median},
    rig::{FIRST_CLIENT, STRIDES, cpu_time, started, tables},
    scenario::{BARE, Scenario, Target, all},
};
use crate::{
    kernel::{context, program},
    net::{Namespace, format_mac, ifindex, random_prefix, wait_for},
    packet::{AFTER4, IP, edit},
    world::{OWN_MAC, VIP4},
};

/// Packets that leave at once, as a driver hands them over: the kernel's default for such runs.
const BATCH: u32 = 64;
/// Number of clients that take turns.
const FLOWS: u32 = 1000;
/// Bytes of a TCP header without options.
const TCP_LEN: usize = 20;
/// Time for the last packets to come back.
const SOON: Duration = Duration::from_secs(5);
/// What is sent.
const SENT: &str = "tcp-v4-ch";

/// The rate of one program.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LiveRow {
    /// What was sent, and to whom.
    pub scenario: String,
    /// Number of flows.
    pub flows: u32,
    /// Median of the packets that came back in a second.
    pub packets_a_second: f64,
    /// Median ratio to the rate of the program that only sends back, in the same round.
    pub ratio: f64,
}

/// Two veths, each in a namespace of its own: behind one is the director, behind the other a program that only sends back.
#[derive(Debug)]
pub struct Live {
    measure: Ebpf,
    wires: [Wire; 2],
    /// Detached with it.
    _director: Ebpf,
    scenario: Scenario,
    runs: usize,
}

/// How packets get onto a wire.
#[derive(Clone, Copy)]
enum Sender {
    /// By a socket: one system call a packet, as from any client.
    Socket,
    /// By the driver, which is handed frames, not packet buffers: it costs so little that next to nothing is left to hide the
    /// program behind.
    Driver,
}

impl Sender {
    const fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Driver => "driver",
        }
    }
}

/// One veth: packets leave by `near`, and come back there.
#[derive(Debug)]
struct Wire {
    namespace: Namespace,
    near: u32,
    far: u32,
}

impl Live {
    /// Makes the veths and attaches the programs.
    ///
    /// # Errors
    /// The kernel refuses something, or this process is not root.
    pub fn start() -> Result<Self> {
        let mut measure = EbpfLoader::new().load(object::MEASURE).context("load the object vip-measure")?;
        for name in ["driver", BARE, "sink"] {
            named(&mut measure, name)?.load().with_context(|| format!("load the program {name}"))?;
        }
        let bare = program(&measure, BARE)?.fd()?.try_clone()?;
        let mut places: ProgramArray<_> =
            measure.map_mut("TARGETS").context("the object has no map TARGETS")?.try_into()?;
        places.set(Target::Bare as u32, &bare, 0)?;
        let wires = [Wire::lay()?, Wire::lay()?];
        let [bare, directed] = &wires;
        let mut director = started(&tables(directed.far), 64)?;
        for wire in &wires {
            wire.attach(named(&mut measure, "sink")?, wire.near)?;
        }
        bare.attach(named(&mut measure, BARE)?, bare.far)?;
        directed.attach(named(&mut director, "director")?, directed.far)?;
        let scenario =
            all().into_iter().find(|row| row.name == SENT).context("what is sent is a scenario")?;
        Ok(Self { measure, wires, _director: director, scenario, runs: 0 })
    }

    /// One round: for each sender the rates, in packets a second, of both programs. The one and the other begin by turns.
    ///
    /// # Errors
    /// The kernel refuses a run, or packets got lost on the way.
    pub fn round(&mut self, packets: u32) -> Result<[[f64; 2]; 2]> {
        self.runs += 1;
        let order = if self.runs.is_multiple_of(2) { [0, 1] } else { [1, 0] };
        let mut rates = [[0.0; 2]; 2];
        for (sender, of_both) in SENDERS.into_iter().zip(&mut rates) {
            for wire in order {
                of_both[wire] = self.rate(sender, wire, packets)?;
            }
        }
        Ok(rates)
    }

    /// Packets that one CPU sends, takes to the program and takes back in a second. The kernel handles them on the CPU that
    /// sends them, as part of the thread that does: its time is not that of others, who may want the CPU as well.
    fn rate(&mut self, sender: Sender, wire: usize, packets: u32) -> Result<f64> {
        let before = arrived(&self.measure)?;
        let spent = match sender {
            Sender::Socket => self.send(wire, packets),
            Sender::Driver => self.transmit(wire, packets),
        };
        let spent = spent.with_context(|| format!("send by a {}", sender.name()))?;
        let all = || arrived(&self.measure).is_ok_and(|now| now - before >= u64::from(packets));
        wait_for("all packets to come back", SOON, all).with_context(|| {
            let back = arrived(&self.measure).map_or(0, |now| now - before);
            format!("{back} of {packets} came back")
        })?;
        Ok(f64::from(packets) / spent * 1e9)
    }

    /// Sends packets as a client does, one by one; returns the time that took, in ns.
    fn send(&self, wire: usize, packets: u32) -> Result<f64> {
        let Scenario { frame, vary_at, .. } = &self.scenario;
        let at = *vary_at as usize;
        let client = |flow: u32| edit(frame.clone(), at, &(FIRST_CLIENT + flow).to_be_bytes());
        let frames: Vec<_> = (0..FLOWS).map(client).collect();
        self.wires[wire].namespace.run(|| -> Result<f64> {
            // Whole packets, header and all (raw(7)).
            let kind = (AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC);
            let socket =
                socket_with(kind.0, kind.1, kind.2, Some(ipproto::RAW)).context("make a raw socket")?;
            let to = SocketAddrV4::new(VIP4.into(), 0);
            let began = cpu_time();
            for frame in frames.iter().cycle().take(packets as usize) {
                sendto(&socket, &frame[IP..AFTER4 + TCP_LEN], SendFlags::empty(), &to)?;
            }
            Ok(cpu_time() - began)
        })?
    }

    /// Sends packets as a driver does that was handed them by XDP, many at once; returns the time that took, in ns.
    fn transmit(&mut self, wire: usize, packets: u32) -> Result<f64> {
        let Scenario { frame, vary_at, .. } = &self.scenario;
        let mut template = [0; 64];
        template.copy_from_slice(&frame[..64]);
        let drive = Drive {
            template: cast(template),
            target: Target::Bare as u32,
            flows: FLOWS,
            vary_at: *vary_at,
            first_flow: FIRST_CLIENT,
            stride: STRIDES[self.runs % STRIDES.len()] % FLOWS,
            zero: 0,
        };
        let mut value = [0; 88];
        value.copy_from_slice(bytes_of(&drive));
        let map = self.measure.map_mut("DRIVE").context("the object has no map DRIVE")?;
        Array::<_, [u8; 88]>::try_from(map)?.set(0, value, 0)?;
        let context = context(frame.len(), self.wires[wire].near);
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.ctx_in = Some(&context);
        options.repeat = packets;
        options.attrs = TestRunAttrs::new().xdp_live_frames(BATCH);
        let driver = program(&self.measure, "driver")?;
        // What the program sends back leaves by the interface that the run is said to come in by.
        let spent = self.wires[wire].namespace.run(|| {
            let began = cpu_time();
            driver.test_run(options).map(|_| cpu_time() - began)
        })?;
        Ok(spent?)
    }

    /// The figures of all rounds, `rates[round][sender]` in packets a second: of the program that only sends back, and of
    /// the director.
    #[must_use]
    pub fn rows(rates: &[[[f64; 2]; 2]]) -> Vec<LiveRow> {
        let mut rows = Vec::new();
        for (at, sender) in SENDERS.into_iter().enumerate() {
            for (which, who) in [BARE, "director"].into_iter().enumerate() {
                let of = |figure: &dyn Fn([f64; 2]) -> f64| {
                    median(rates.iter().map(|round| figure(round[at])).collect())
                };
                rows.push(LiveRow {
                    scenario: format!("live-{}-{SENT}-{who}", sender.name()),
                    flows: FLOWS,
                    packets_a_second: of(&|rates| rates[which]),
                    ratio: of(&|rates| rates[which] / rates[0]),
                });
            }
        }
        rows
    }
}

/// In the order of the report.
const SENDERS: [Sender; 2] = [Sender::Socket, Sender::Driver];

impl Wire {
    fn lay() -> Result<Self> {
        let namespace = Namespace::new(&random_prefix())?;
        let (vip, mac) = (Ipv4Addr::from(VIP4), format_mac(OWN_MAC));
        namespace.ip(&[
            "link add near type veth peer name far".to_owned(),
            "link set near addrgenmode none up".to_owned(),
            "link set far addrgenmode none up".to_owned(),
            format!("route add {vip} dev near"),
            format!("neighbor add {vip} lladdr {mac} dev near nud permanent"),
        ])?;
        let (near, far) = (ifindex(&namespace, "near")?, ifindex(&namespace, "far")?);
        Ok(Self { namespace, near, far })
    }

    fn attach(&self, program: &mut Xdp, ifindex: u32) -> Result<()> {
        self.namespace
            .run(|| program.attach_to_if_index(ifindex, XdpMode::Driver).map(|_| ()))?
            .context("attach to a veth")
    }
}

/// What must hold: the director's rate is not far below that of a program that only sends back.
#[must_use]
pub fn live_bar(rows: &[LiveRow]) -> Option<Bar> {
    let sent = rows.iter().filter(|row| row.scenario.starts_with("live-socket"));
    let worst = sent.map(|row| row.ratio).min_by(f64::total_cmp)?;
    Some(Bar { name: "live by a socket, over a bare XDP_TX", limit: Limit::AtLeast(0.9), figure: worst })
}

fn named<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = object.program_mut(name).with_context(|| format!("the object has no {name}"))?;
    Ok(program.try_into()?)
}

/// Packets that have come back, on whatever wire.
fn arrived(measure: &Ebpf) -> Result<u64> {
    let map = measure.map("ARRIVED").context("the object has no map ARRIVED")?;
    let counts: PerCpuArray<_, u64> = map.try_into()?;
    Ok(counts.get(&0, 0)?.iter().sum())
}
