//! Pins seen from outside: detach, inspection, instances, what must hold before.

use std::{fs, path::Path};

use vip_common::{Reason, tables::names};
use vip_userspace::{
    dataplane::{
        AttachMode, Dataplane as _, DataplaneError, Detached, KernelDataplane, Mode, detach, inspect,
        inspect::Attached,
        kernel::check,
        preflight::{self, Preflight},
    },
    places::Places,
    plan::Tables,
};

use super::harness::{CAPACITY, alone, ip, on, open, publish, tables, test_run};

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
fn detach_removes_everything_while_a_controller_runs_and_a_second_time_finds_nothing() {
    alone(|places| {
        let mut dataplane = open(places);
        publish(&mut dataplane, &tables());
        dataplane.attach("a", AttachMode::Native).expect("attach");
        dataplane.attach("b", AttachMode::Generic).expect("attach");
        let mut detached = detach(places).expect("detach");
        detached.interfaces.sort_unstable();
        assert_eq!((detached.found, detached.indices.len()), (true, 2));
        assert_eq!(detached.interfaces, ["a", "b"]);
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

#[test]
fn a_place_without_a_bpf_file_system_is_refused_before_anything_is_tried() {
    alone(|places| {
        preflight::check(places).expect("all is well here");
        let elsewhere = Places { bpffs: "/tmp".into(), ..places.clone() };
        let error = preflight::check(&elsewhere).expect_err("a refusal");
        assert!(matches!(error, Preflight::NoBpffs(path) if path == Path::new("/tmp")));
    });
}
