//! What every test of the dataplane needs: a place of its own, and tables to publish.

use std::{process::Command, thread};

use aya::{
    TestRun as _,
    maps::MapInfo,
    programs::{
        TestRunOptions,
        links::{FdLink, PinnedLink},
    },
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use vip_common::{
    FlowKey, MemberId,
    tables::{
        Egress, EgressId, Member, MemberEntry, Port, Service, ServiceKey4, ServiceKey6, Slot, Station, Terms,
        WideKey4, WideKey6, names,
    },
};
use vip_userspace::{
    dataplane::{
        Capacity, Dataplane as _, Director, KernelDataplane,
        interface::{self, Interface},
    },
    places::Places,
    plan::{Tables, plan},
    ring::MAX_TURNS,
};

pub(crate) const CAPACITY: Capacity =
    Capacity { slots: 10_000, members: 20, services: 5, flows: 1024, fragments: 64 };
pub(crate) const TABLES: [&str; 23] = [
    names::PORTS,
    names::VIPS,
    names::SERVICES4,
    names::SERVICES6,
    names::WIDE4,
    names::WIDE6,
    names::RINGS,
    names::MEMBERS,
    names::EGRESSES,
    names::STATIONS,
    names::FLOW_KEY,
    names::FLOWS4,
    names::FLOWS6,
    names::TERMS,
    names::FRAGMENTS,
    names::TURNS,
    names::INSERTS,
    names::ANSWERS,
    names::MEMBER_COUNTS,
    names::REASON_COUNTS,
    names::SWEEP,
    names::HELD,
    names::MEMBER_FLOWS,
];

/// Runs a test in a thread with namespaces of its own: an empty BPF file system, and a network of `lo` and a pair of
/// veths, `a` and `b`. All of it is gone when the thread ends, however it does.
pub(crate) fn alone(test: impl FnOnce(&Places) + Send + 'static) {
    let thread = thread::spawn(move || {
        let own = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
        unshare(own).expect("this test needs root: make namespaces");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("make mounts private");
        mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), none).expect("mount a bpffs");
        ip("link set dev lo up");
        ip("link add name a type veth peer name b");
        ip("link set dev a up");
        ip("link set dev b up");
        test(&Places::default());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("run ip");
    assert!(status.success(), "ip {arguments}");
}

pub(crate) fn on(name: &str) -> Interface {
    interface::by_name(name).expect("ask").expect("an interface")
}

pub(crate) fn open(places: &Places) -> KernelDataplane {
    KernelDataplane::open(places, CAPACITY, false).expect("open").0
}

/// Some of everything.
pub(crate) fn tables() -> Tables {
    let zero: Service = bytemuck::Zeroable::zeroed();
    let service = |ring_first, id| Service { ring_first, ring_size: 100, id, flags: Service::LOCAL, ..zero };
    let turning = |ring_first, id| Service {
        turns_first: 5000,
        turns_size: 4000,
        peers_first: 800,
        flags: Service::TAKES_TURNS | Service::PEERS,
        ..service(ring_first, id)
    };
    let (vip4, vip6) = (ServiceKey4::vip([10, 0, 0, 1]), ServiceKey6::vip([0xfd; 16]));
    let (block4, block6) = (WideKey4::PROTOCOL + 13, WideKey6::VIP);
    let wide4 = WideKey4 { bits: block4, vip: vip4.vip, protocol: 6, port: [0x1f, 0x40], zero: 0 };
    let wide6 = WideKey6 { bits: block6, vip: vip6.vip, protocol: 0, port: [0; 2], zero: 0 };
    let member = |last| Member { mac: [2, 0, 0, 0, 0, last], egress: EgressId(255), state: Member::UP };
    let slots = |len: u32, id| (0..len).map(|slot| Slot::of(MemberId(slot % 2 + id))).collect();
    let tracked = |slot: u32| Slot::tracked(MemberId(slot % 2 + 1), MemberId(19));
    let entry = |id: u8| (MemberId(id.into()), MemberEntry::new(member(id), 7 + u32::from(id)));
    let terms = Terms { period: 1, allowance: 100, idle: 60, always: 1 };
    Tables {
        ports: [(7, Port { mac: [2, 0, 0, 0, 1, 0], router: 51, flags: 0 })].into(),
        services4: [
            (vip4, service(0, 1)),
            (ServiceKey4 { port: [0, 80], protocol: 6, ..vip4 }, service(0, 1)),
            (ServiceKey4::own([10, 0, 0, 9]), zero),
        ]
        .into(),
        services6: [
            (vip6, service(900, 2)),
            (ServiceKey6 { port: [0, 80], protocol: 6, ..vip6 }, turning(900, 2)),
        ]
        .into(),
        wide4: [(wide4, service(700, 3))].into(),
        wide6: [(wide6, service(900, 2))].into(),
        rings: [
            (0, slots(100, 1)),
            (700, (0..100).map(tracked).collect()),
            (800, slots(100, 1)),
            (900, slots(100, 19)),
            (5000, slots(MAX_TURNS, 1)),
        ]
        .into(),
        members: [1, 2, 19, 20].map(entry).into_iter().collect(),
        egresses: [(EgressId(255), Egress::untouched(9, [2, 0, 0, 0, 1, 1]))].into(),
        stations: [([2, 0, 0, 0, 0, 1], Station { member: MemberId(1), flags: Station::DIRECTOR })].into(),
        terms: [(2, terms), (3, Terms { always: 0, ..terms })].into(),
        flow_key: Some(FlowKey { coefficients: std::array::from_fn(|at| at as u64 + 1) }),
    }
}

pub(crate) fn publish(dataplane: &mut KernelDataplane, wanted: &Tables) {
    let published = dataplane.read().expect("read");
    dataplane.apply(&plan(&published, wanted)).expect("apply");
}

pub(crate) fn map_ids(places: &Places) -> Vec<u32> {
    let id = |name| MapInfo::from_pin(places.pins().join(name)).expect("a pinned map").id();
    TABLES.map(id).to_vec()
}

/// Id of a pinned link, and of the program in it.
pub(crate) fn link(places: &Places, ifindex: u32) -> (u32, u32) {
    let pin = places.pins().join(format!("link-{ifindex}"));
    let info = FdLink::from(PinnedLink::from_pin(pin).expect("a pinned link")).info().expect("its info");
    (info.id(), info.program_id())
}

pub(crate) fn program_id(dataplane: &KernelDataplane) -> u32 {
    dataplane.director().program().expect("the program").info().expect("its info").id()
}

pub(crate) fn test_run(director: &Director, frame: &[u8]) {
    let mut out = [0; 2048];
    let run = TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..TestRunOptions::default() };
    director.program().expect("the program").test_run(run).expect("run it");
}
