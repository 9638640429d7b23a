//! The program on interfaces: attached, replaced, refused.

use std::thread;

use aya::{
    Ebpf,
    programs::{ProgramInfo, Xdp, XdpMode},
};
use nix::sched::{CloneFlags, unshare};
use vip_userspace::dataplane::{
    AttachMode, Dataplane as _, DataplaneError, KernelDataplane, Mode, detach, inspect, inspect::Attached,
    kernel::check, object,
};

use super::harness::{CAPACITY, alone, ip, link, map_ids, on, open, program_id, publish, tables};

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
