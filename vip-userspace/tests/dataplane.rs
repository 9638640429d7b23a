//! The dataplane on a real kernel: tables and programs as they are pinned, taken over, attached and removed. Every test
//! has a BPF file system and a network of its own, in namespaces that end with the test's thread.

use std::{fs, path::Path, process::Command, sync::mpsc, thread, time::Duration};

use aya::{
    Ebpf, TestRun as _,
    maps::{Array, Map, MapData, MapInfo},
    programs::{
        ProgramInfo, TestRunOptions, Xdp, XdpMode,
        links::{FdLink, PinnedLink},
    },
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use vip_common::{
    FlowKey, MemberId, Reason,
    tables::{Egress, EgressId, Member, Port, Service, ServiceKey4, ServiceKey6, Slot, names},
};
use vip_userspace::{
    dataplane::{
        AttachMode, Capacity, Dataplane as _, DataplaneError, Detached, Director, KernelDataplane, Mode,
        detach, inspect,
        inspect::Attached,
        interface::{self, Interface},
        kernel::check,
        object,
        preflight::{self, Preflight},
    },
    places::Places,
    plan::{Operation, Tables, plan},
};

const CAPACITY: Capacity = Capacity { slots: 1000, members: 20, services: 5 };
const TABLES: [&str; 10] = [
    names::PORTS,
    names::VIPS,
    names::SERVICES4,
    names::SERVICES6,
    names::RINGS,
    names::MEMBERS,
    names::EGRESSES,
    names::FLOW_KEY,
    names::MEMBER_COUNTS,
    names::REASON_COUNTS,
];

/// Runs a test in a thread with namespaces of its own: an empty BPF file system, and a network of `lo` and a pair of
/// veths, `a` and `b`. All of it is gone when the thread ends, however it does.
fn alone(test: impl FnOnce(&Places) + Send + 'static) {
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

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("run ip");
    assert!(status.success(), "ip {arguments}");
}

fn on(name: &str) -> Interface {
    interface::by_name(name).expect("ask").expect("an interface")
}

fn open(places: &Places) -> KernelDataplane {
    KernelDataplane::open(places, CAPACITY, false).expect("open").0
}

/// Some of everything.
fn tables() -> Tables {
    let service = |ring_first, ring_size, id| Service { ring_first, ring_size, flags: Service::LOCAL, id };
    let (vip4, vip6) = (ServiceKey4::vip([10, 0, 0, 1]), ServiceKey6::vip([0xfd; 16]));
    let member = |last| Member { mac: [2, 0, 0, 0, 0, last], egress: EgressId(255), state: Member::UP };
    let slots = |id| (0..100_u32).map(|slot| Slot::of(MemberId(slot % 2 + id))).collect();
    Tables {
        ports: [(7, Port { mac: [2, 0, 0, 0, 1, 0], zero: [0; 2] })].into(),
        services4: [
            (vip4, service(0, 0, 0)),
            (ServiceKey4 { port: [0, 80], protocol: 6, ..vip4 }, service(0, 100, 1)),
        ]
        .into(),
        services6: [
            (vip6, service(0, 0, 0)),
            (ServiceKey6 { port: [0, 80], protocol: 6, ..vip6 }, service(900, 100, 2)),
        ]
        .into(),
        rings: [(0, slots(1)), (900, slots(19))].into(),
        members: [1, 2, 19, 20].map(|id| (MemberId(id.into()), member(id))).into(),
        egresses: [(EgressId(255), Egress { ifindex: 9, mac: [2, 0, 0, 0, 1, 1], zero: [0; 6] })].into(),
        flow_key: Some(FlowKey { coefficients: std::array::from_fn(|at| at as u64 + 1) }),
    }
}

fn publish(dataplane: &mut KernelDataplane, wanted: &Tables) {
    let published = dataplane.read().expect("read");
    dataplane.apply(&plan(&published, wanted)).expect("apply");
}

fn map_ids(places: &Places) -> Vec<u32> {
    let id = |name| MapInfo::from_pin(places.pins().join(name)).expect("a pinned map").id();
    TABLES.map(id).to_vec()
}

/// Id of a pinned link, and of the program in it.
fn link(places: &Places, ifindex: u32) -> (u32, u32) {
    let pin = places.pins().join(format!("link-{ifindex}"));
    let info = FdLink::from(PinnedLink::from_pin(pin).expect("a pinned link")).info().expect("its info");
    (info.id(), info.program_id())
}

fn program_id(dataplane: &KernelDataplane) -> u32 {
    dataplane.director().program().expect("the program").info().expect("its info").id()
}

#[test]
fn what_is_published_is_read_back_and_a_second_time_changes_nothing() {
    alone(|places| {
        let (mut dataplane, adopted) = KernelDataplane::open(places, CAPACITY, false).expect("open");
        assert!(adopted.fresh && adopted.interfaces.is_empty() && adopted.gone.is_empty());
        assert_eq!(dataplane.read().expect("read"), Tables::default());
        let operations = plan(&Tables::default(), &tables());
        for _ in 0..2 {
            dataplane.apply(&operations).expect("apply");
            assert_eq!(dataplane.read().expect("read"), tables());
        }
        for _ in 0..2 {
            dataplane.apply(&plan(&tables(), &Tables::default())).expect("take away");
            let left = dataplane.read().expect("read");
            assert_eq!(left, Tables { flow_key: tables().flow_key, ..Tables::default() });
        }
    });
}

#[test]
fn what_is_beyond_the_capacity_is_refused_by_the_tables_name() {
    alone(|places| {
        let mut dataplane = open(places);
        assert_eq!(dataplane.capacity(), CAPACITY);
        let cases = [
            (Operation::Slots(999, vec![Slot::of(MemberId(1)); 2]), names::RINGS),
            (Operation::Member(MemberId(21), None), names::MEMBERS),
            (Operation::ClearCounts(MemberId(21)), names::MEMBER_COUNTS),
            (Operation::Port(1 << 20, None), names::PORTS),
        ];
        for (operation, table) in cases {
            let error = dataplane.apply(&[operation]).expect_err(table).to_string();
            assert!(error.contains(table), "{error}");
        }
    });
}

#[test]
fn a_second_controller_takes_over_the_same_tables_and_replaces_the_program_within_the_link() {
    alone(|places| {
        let mut first = open(places);
        publish(&mut first, &tables());
        let attachment = first.attach("a", AttachMode::Auto).expect("attach");
        assert!(!attachment.adopted && attachment.mode == Mode::Native && attachment.fell_back.is_none());
        let (ids, index) = (map_ids(places), attachment.ifindex);
        let (link_before, program_before) = link(places, index);
        assert_eq!(program_before, program_id(&first));
        drop(first);
        assert_eq!(link(places, index), (link_before, program_before), "it forwards without a controller");

        let (mut second, adopted) = KernelDataplane::open(places, CAPACITY, false).expect("open again");
        let attached = Attached { ifindex: index, name: Some("a".into()), mode: Some(Mode::Native) };
        assert_eq!((adopted.fresh, &adopted.interfaces), (false, &vec![attached]));
        assert_eq!(map_ids(places), ids);
        assert_eq!(second.read().expect("read"), tables());
        assert_eq!(link(places, index), (link_before, program_before), "nothing is replaced yet");
        let attachment = second.attach("a", AttachMode::Auto).expect("attach again");
        assert!(attachment.adopted && attachment.mode == Mode::Native);
        let (link_after, program_after) = link(places, index);
        assert_eq!(link_after, link_before);
        assert_eq!(program_after, program_id(&second));
        assert_ne!(program_after, program_before);
        let pinned = ProgramInfo::from_pin(places.pins().join(object::PROGRAM)).expect("the pinned program");
        assert_eq!(pinned.id(), program_after);
    });
}

#[test]
fn a_controller_that_died_while_it_made_the_tables_is_followed_by_one_that_makes_the_rest() {
    alone(|places| {
        drop(open(places));
        for name in &TABLES[4..] {
            fs::remove_file(places.pins().join(name)).expect("remove a pin");
        }
        let mut dataplane = open(places);
        publish(&mut dataplane, &tables());
        assert_eq!(dataplane.read().expect("read"), tables());
    });
}

#[test]
fn a_controller_that_died_between_a_service_and_its_vips_bit_is_followed_by_one_that_sets_it() {
    alone(|places| {
        let mut first = open(places);
        publish(&mut first, &tables());
        drop(first);
        let map = MapData::from_pin(places.pins().join(names::VIPS)).expect("the pinned map");
        let mut vips: Array<_, u64> = Map::from_map_data(map).and_then(TryInto::try_into).expect("an array");
        let words = tables().vip_words();
        for index in words.keys() {
            vips.set(*index, 0, 0).expect("clear a word");
        }
        vips.set(1023, 1, 0).expect("set a bit of no VIP");
        drop(open(places));
        for index in 0..1024 {
            let wanted = words.get(&index).copied().unwrap_or_default();
            assert_eq!(vips.get(&index, 0).expect("a word"), wanted, "word {index}");
        }
    });
}

#[test]
fn tables_of_another_size_are_refused_and_left_as_they_are() {
    alone(|places| {
        let mut first = open(places);
        publish(&mut first, &tables());
        drop(first);
        let ids = map_ids(places);
        let other = Capacity { slots: 2000, ..CAPACITY };
        let text = KernelDataplane::open(places, other, false).err().expect("a refusal").to_string();
        for part in ["RINGS", "1000", "2000", "vip detach --instance default"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(check(places, other, &[]).is_err());
        assert_eq!(map_ids(places), ids);
        assert_eq!(open(places).read().expect("read"), tables());
    });
}

#[test]
fn pins_of_another_layout_are_refused_by_name_and_detach_clears_them() {
    alone(|places| {
        let other = places.all_pins().join("v999");
        fs::create_dir_all(&other).expect("make a directory");
        for error in [
            KernelDataplane::open(places, CAPACITY, false).err().expect("open refuses"),
            check(places, CAPACITY, &[]).expect_err("check refuses"),
            inspect(places).expect_err("inspect refuses"),
        ] {
            let text = error.to_string();
            assert!(matches!(error, DataplaneError::OtherLayout { .. }), "{text}");
            assert!(text.contains("/v999") && text.contains("vip detach --instance default"), "{text}");
        }
        assert!(detach(places).expect("detach").found);
        assert!(!other.exists());
        drop(open(places));
    });
}

#[test]
fn another_xdp_program_is_named_and_left_alone() {
    alone(|places| {
        let mut ebpf = Ebpf::load(object::MEASURE).expect("load");
        let bare: &mut Xdp = ebpf.program_mut("bare").expect("bare").try_into().expect("an XDP program");
        bare.load().expect("load bare");
        bare.attach("a", XdpMode::Driver).expect("attach bare");
        let before = on("a");
        let id = before.xdp.expect("a program").program;

        let mut dataplane = open(places);
        for mode in [AttachMode::Auto, AttachMode::Native, AttachMode::Generic] {
            for error in [
                check(places, CAPACITY, &[("a", mode)]).expect_err("check refuses"),
                dataplane.attach("a", mode).expect_err("attach refuses"),
            ] {
                let text = error.to_string();
                assert!(matches!(error, DataplaneError::OtherProgram { .. }), "{text}");
                assert!(text.contains("interface a ") && text.contains(&format!("bare (id {id})")), "{text}");
            }
        }
        dataplane.undo().expect("undo");
        assert_eq!(on("a"), before);
        assert!(!places.all_pins().exists());
    });
}

#[test]
fn it_attaches_natively_and_generically_and_says_which() {
    alone(|places| {
        let mut dataplane = open(places);
        let native = dataplane.attach("a", AttachMode::Native).expect("native");
        let generic = dataplane.attach("b", AttachMode::Generic).expect("generic");
        assert_eq!((native.mode, generic.mode), (Mode::Native, Mode::Generic));
        assert_eq!(on("a").xdp.map(|xdp| xdp.mode), Some(Mode::Native));
        assert_eq!(on("b").xdp.map(|xdp| xdp.mode), Some(Mode::Generic));
        let error = dataplane.attach("b", AttachMode::Native).expect_err("a link keeps its mode").to_string();
        assert!(error.contains("interface b is attached in generic mode"), "{error}");
        assert!(error.contains("vip detach --instance default"), "{error}");
        assert_eq!(dataplane.attach("b", AttachMode::Auto).expect("adopt").mode, Mode::Generic);
        let released = dataplane.release_others(&[native.ifindex]).expect("release");
        assert_eq!(released.iter().map(|one| one.ifindex).collect::<Vec<_>>(), [generic.ifindex]);
        assert_eq!(on("b").xdp, None);
        assert_eq!(dataplane.interfaces().expect("list").len(), 1);
    });
}

#[test]
fn a_driver_without_native_xdp_makes_auto_fall_back_with_a_reason_and_native_fail() {
    alone(|places| {
        let mut dataplane = open(places);
        let error = dataplane.attach("lo", AttachMode::Native).expect_err("lo has no native XDP");
        assert!(error.to_string().contains("interface lo in native mode"), "{error}");
        assert_eq!(on("lo").xdp, None);
        let attachment = dataplane.attach("lo", AttachMode::Auto).expect("attach");
        assert_eq!(attachment.mode, Mode::Generic);
        let reason = attachment.fell_back.expect("a reason");
        assert!(reason.contains("not supported"), "{reason}");
    });
}

#[test]
fn a_missing_interface_is_named() {
    alone(|places| {
        let text =
            check(places, CAPACITY, &[("eth99", AttachMode::Auto)]).expect_err("a refusal").to_string();
        assert_eq!(text, "there is no interface eth99");
        assert!(!places.all_pins().exists(), "a check makes nothing");
        let mut dataplane = open(places);
        let error = dataplane.attach("eth99", AttachMode::Auto).expect_err("a refusal");
        assert!(matches!(error, DataplaneError::NoInterface(_)));
    });
}

#[test]
fn an_interface_past_the_end_of_the_ports_is_refused() {
    alone(|places| {
        drop(open(places));
        ip("link add name far index 5000 type veth peer name farther index 6000");
        let error = check(places, CAPACITY, &[("far", AttachMode::Auto)]).expect_err("a refusal");
        assert!(
            matches!(error, DataplaneError::PortOutOfRange { index: 5000, entries: 4096, .. }),
            "{error}"
        );
        detach(places).expect("detach");
        open(places).attach("far", AttachMode::Auto).expect("there is room in new tables");
    });
}

#[test]
fn the_link_of_an_interface_that_is_gone_is_cleaned_up() {
    alone(|places| {
        let mut dataplane = open(places);
        let index = dataplane.attach("a", AttachMode::Auto).expect("attach").ifindex;
        drop(dataplane);
        ip("link del dev a");
        assert_eq!(inspect(places).expect("inspect").expect("pins").interfaces, []);
        let (_, adopted) = KernelDataplane::open(places, CAPACITY, false).expect("open");
        assert_eq!((adopted.gone, adopted.interfaces), (vec![index], vec![]));
        assert!(!places.pins().join(format!("link-{index}")).exists());
    });
}

#[test]
fn the_link_of_another_network_namespace_is_left_alone() {
    alone(|places| {
        open(places).attach("a", AttachMode::Auto).expect("attach");
        let (index, elsewhere) = (on("a").index, places.clone());
        let refused = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("make a network");
            ip(&format!("link add name a index {index} type veth peer name b index {}", index + 100));
            let adopted = KernelDataplane::open(&elsewhere, CAPACITY, false).expect("open").1;
            let unseen = Attached { ifindex: index, name: None, mode: None };
            assert_eq!((adopted.gone, adopted.interfaces), (vec![], vec![unseen]));
            check(&elsewhere, CAPACITY, &[("a", AttachMode::Auto)]).expect_err("a refusal").to_string()
        });
        let refused = refused.join().expect("the other network");
        assert!(refused.contains("another network namespace"), "{refused}");
        assert!(places.pins().join(format!("link-{index}")).exists() && on("a").xdp.is_some());
    });
}

#[test]
fn detach_removes_everything_while_a_controller_runs_and_a_second_time_finds_nothing() {
    alone(|places| {
        let mut dataplane = open(places);
        publish(&mut dataplane, &tables());
        dataplane.attach("a", AttachMode::Native).expect("attach");
        dataplane.attach("b", AttachMode::Generic).expect("attach");
        let mut detached = detach(places).expect("detach");
        detached.interfaces.sort_unstable();
        assert_eq!(detached, Detached { interfaces: vec!["a".into(), "b".into()], found: true });
        assert_eq!((on("a").xdp, on("b").xdp), (None, None));
        assert!(!Path::new("/sys/fs/bpf/vip").exists());
        assert_eq!(detach(places).expect("detach again"), Detached::default());
        assert_eq!(inspect(places).expect("inspect"), None);
    });
}

#[test]
fn instances_do_not_touch_each_other() {
    alone(|places| {
        let other = Places::of("other".parse().expect("a name"));
        let mut first = open(places);
        first.attach("a", AttachMode::Auto).expect("attach");
        let mut second = open(&other);
        second.attach("b", AttachMode::Auto).expect("attach");
        let error = second.attach("a", AttachMode::Auto).expect_err("it is taken").to_string();
        assert!(error.contains("director"), "{error}");
        publish(&mut first, &tables());
        assert_eq!(second.read().expect("read"), Tables::default());
        detach(&other).expect("detach");
        assert!(on("a").xdp.is_some() && on("b").xdp.is_none());
    });
}

#[test]
fn what_forwards_is_seen_without_a_controller() {
    alone(|places| {
        let mut dataplane = open(places);
        publish(&mut dataplane, &tables());
        let index = dataplane.attach("a", AttachMode::Generic).expect("attach").ifindex;
        test_run(dataplane.director(), &[0; 60]);
        let counts = dataplane.counts().expect("counts");
        assert_eq!(counts.reasons.len(), Reason::ALL.len());
        assert!(counts.reasons[Reason::NotForUs as usize] > 0, "{counts:?}");
        ip("link set dev a down");
        ip("link set dev b down");
        drop(dataplane);
        let seen = inspect(places).expect("inspect").expect("pins");
        assert_eq!((seen.tables, seen.capacity), (tables(), CAPACITY));
        assert!(seen.counts.reasons.iter().sum::<u64>() >= counts.reasons.iter().sum());
        let attached = Attached { ifindex: index, name: Some("a".into()), mode: Some(Mode::Generic) };
        assert_eq!(seen.interfaces, [attached]);
        fs::remove_file(places.pins().join(names::RINGS)).expect("remove a pin");
        assert!(matches!(inspect(places), Err(DataplaneError::MissingPin(_))));
    });
}

fn test_run(director: &Director, frame: &[u8]) {
    let mut out = [0; 2048];
    let run = TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..TestRunOptions::default() };
    director.program().expect("the program").test_run(run).expect("run it");
}

#[test]
fn the_verifier_is_content_with_and_without_packet_logs() {
    for (logs, most) in [(false, 100_000), (true, 1_000_000)] {
        let director = Director::load(CAPACITY, logs).expect("load");
        let info = director.program().expect("the program").info().expect("its info");
        let instructions = info.verified_instruction_count().expect("a count");
        #[expect(clippy::print_stdout, reason = "the count is worth knowing when it is fine, too")]
        {
            println!("the verifier processed {instructions} instructions (packet logs: {logs})");
        }
        assert!(instructions <= most, "{instructions} instructions (packet logs: {logs})");
    }
}

#[test]
fn packets_are_logged_if_asked_for() {
    let mut director = Director::load(CAPACITY, true).expect("load");
    let (send, lines) = mpsc::channel();
    let log = director.packet_log(move |line| drop(send.send(line.to_owned()))).expect("open the log");
    assert!(director.packet_log(|_| ()).is_err(), "the log is given once");
    test_run(&director, &[0; 60]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let line = runtime.block_on(async {
        let log = log.run();
        tokio::pin!(log);
        for _ in 0..1000 {
            let ended = tokio::time::timeout(Duration::from_millis(10), &mut log).await;
            assert!(ended.is_err(), "the log ended: {ended:?}");
            if let Ok(line) = lines.try_recv() {
                return line;
            }
        }
        panic!("no line within 10 s");
    });
    assert_eq!(line, "not-for-us to member 0");
}

#[test]
fn a_place_without_a_bpf_file_system_is_refused_before_anything_is_tried() {
    alone(|places| {
        preflight::check(places).expect("all is well here");
        let elsewhere = Places { bpffs: "/tmp".into(), ..places.clone() };
        let error = preflight::check(&elsewhere).expect_err("a refusal");
        assert!(matches!(error, Preflight::NoBpffs(path) if path == Path::new("/tmp")));
    });
}
