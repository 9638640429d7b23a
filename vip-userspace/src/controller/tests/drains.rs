//! Drains, second by second: what is known to be left, when nothing can be, and what their end brings about.

use std::time::Duration;

use super::{
    flows::{Story, has, restart, story},
    *,
};
use crate::{
    control::protocol::{DrainEnd, DrainStatus, DrainingMember},
    controller::Ended,
    model::{Draining, Drains, Maintenance},
};

/// 2025-11-25, in seconds since the Unix epoch.
const EPOCH: Duration = Duration::from_secs(1_764_028_800);

fn draining(n: u8) -> Draining {
    Draining { service: Some(member(n).0), backend: backend(n).name }
}

fn drain(n: u8, timeout: Option<u64>) -> Command {
    let timeout = timeout.map(Duration::from_secs);
    Command::SetAdmin { backend: backend(n).name, service: None, admin: Admin::Draining, timeout }
}

fn maintain(n: u8, maintenance: Maintenance, timeout: Option<u64>) -> Command {
    Command::SetMaintenance {
        backend: backend(n).name,
        maintenance,
        timeout: timeout.map(Duration::from_secs),
    }
}

/// `web` with a window of 30 s, at a time of day.
fn begun(change: impl FnOnce(&mut Service)) -> Story {
    let mut story = story(change);
    story.controller.begin_drains(EPOCH, Drains::default());
    story
}

/// How far b1's drain is.
fn progress(story: &Story) -> DrainStatus {
    story.controller.drain(&member(1)).expect("it drains")
}

/// Time passes, and what drains' ends bring about is done as the loop does it.
fn pass(story: &mut Story, seconds: u64) -> Vec<Ended> {
    let mut all = Vec::new();
    for _ in 0..seconds {
        story.pass(1);
        let ended = story.controller.ended_drains();
        for command in ended.iter().filter_map(|one| one.then.clone()) {
            story.command(&command);
        }
        all.extend(ended);
    }
    all
}

#[test]
fn what_has_spoken_is_counted_what_is_silent_is_unknown_until_the_window_is_over() {
    let mut story = begun(|_| {});
    let flows = story.begin();
    assert_eq!(story.controller.drain(&member(1)), None);
    story.command(&drain(1, None));
    let now = progress(&story);
    assert_eq!((now.flows_left, now.timeout_seconds, now.gone), (None, None, false), "nobody has looked yet");
    assert!(now.unknown_slots > 200 && now.unknown_seconds == Some(30), "{now:?}");
    assert_eq!(pass(&mut story, 5), []);
    assert_eq!((progress(&story).flows_left, progress(&story).seconds), (Some(0), 5));
    assert!(!progress(&story).gone, "all may be silent");
    story.speak();
    assert_eq!(pass(&mut story, 5), []);
    let now = progress(&story);
    assert_eq!((now.flows_left, now.unknown_seconds), (Some(has(&flows, 1) as u64), Some(20)));
    assert_eq!(pass(&mut story, 21), []);
    let now = progress(&story);
    assert_eq!((now.flows_left, now.unknown_slots, now.gone), (Some(has(&flows, 1) as u64), 0, false));
    // They end, which their silence tells.
    let ended = pass(&mut story, 15);
    let end = DrainEnd { timed_out: false, flows_left: Some(0), unknown_slots: 0 };
    assert_eq!(ended, [Ended { draining: draining(1), end, then: None }], "told once, and it drains on");
    assert!(progress(&story).gone);
}

#[test]
fn a_sweep_that_looked_before_the_window_was_over_ends_no_drain() {
    let mut story = begun(|_| {});
    story.begin();
    story.command(&drain(1, None));
    pass(&mut story, 29);
    assert!(progress(&story).unknown_slots > 0 && progress(&story).flows_left == Some(0));
    // At the last moment they speak, and the window ends.
    story.speak();
    story.controller.time(Duration::from_secs(31));
    story.controller.publish().expect("published");
    assert_eq!((progress(&story).unknown_slots, progress(&story).gone), (0, false));
    assert_eq!(pass(&mut story, 10), []);
    assert!(progress(&story).flows_left > Some(400));
}

#[test]
fn a_drain_with_a_timeout_disables_its_member_at_the_latest_then_and_tells_what_was_left() {
    let mut story = begun(|_| {});
    let flows = story.begin();
    story.command(&drain(1, Some(20)));
    story.speak();
    assert_eq!(pass(&mut story, 19), []);
    assert_eq!(progress(&story).timeout_seconds, Some(1));
    let ended = pass(&mut story, 1);
    let [Ended { end, then: Some(_), .. }] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!((end.timed_out, end.flows_left), (true, Some(has(&flows, 1) as u64)));
    assert!(end.unknown_slots > 200);
    let standing = story.controller.world().standings(&story.service())[0].clone();
    assert_eq!(standing, Standing::Down(Ineligible::Disabled));
    assert_eq!(has(&story.speak(), 1), 0);
    let told = story.controller.drain_of(&backend(1).name);
    let admin = Admin::Disabled;
    assert_eq!(told, [DrainingMember { service: member(1).0, admin, drain: None, ended: Some(*end) }]);
    story.admin(1, Admin::Enabled);
    story.controller.publish().expect("published");
    assert_eq!(story.controller.drain_of(&backend(1).name)[0].ended, None, "that is history");
}

#[test]
fn of_each_service_it_is_known_how_its_drain_ended() {
    let mut story = begun(|_| {});
    story.command(&Command::AddService {
        service: Box::new(Service { slots: 101, ..service("dns", 2, &[1, 2]) }),
    });
    story.controller.verdict(("dns".parse().expect("a name"), backend(1).name), Health::Up, None);
    story.command(&drain(1, Some(5)));
    assert_eq!(pass(&mut story, 5).len(), 2);
    let told = story.controller.drain_of(&backend(1).name);
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|one| one.drain.is_none() && one.ended.is_some()), "{told:?}");
    assert!(told[1].ended.is_some_and(|end| end.timed_out), "{told:?}");
    // A second drain that somebody ends by hand did not end by its time.
    story.command(&drain(1, Some(500)));
    story.admin(1, Admin::Disabled);
    assert!(story.controller.drain_of(&backend(1).name).iter().all(|one| one.ended.is_none()));
}

#[test]
fn a_drain_with_a_timeout_ends_as_soon_as_nothing_is_left() {
    let mut story = begun(|_| {});
    story.begin();
    story.command(&drain(1, Some(3600)));
    let ended = pass(&mut story, 40);
    let end = DrainEnd { timed_out: false, flows_left: Some(0), unknown_slots: 0 };
    let [Ended { end: found, then: Some(_), .. }] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!(*found, end);
    assert_eq!(story.controller.world().intent.admin(&member(1).0, &member(1).1), Admin::Disabled);
}

#[test]
fn a_second_drain_changes_when_it_ends_but_not_when_it_began() {
    let mut story = begun(|_| {});
    story.begin();
    story.command(&drain(1, Some(20)));
    pass(&mut story, 10);
    story.command(&drain(1, Some(100)));
    assert_eq!((progress(&story).seconds, progress(&story).timeout_seconds), (10, Some(100)));
    story.command(&drain(1, None));
    assert_eq!((progress(&story).seconds, progress(&story).timeout_seconds), (10, None));
}

#[test]
fn the_deadline_of_a_drain_outlives_a_restart() {
    let mut story = begun(|_| {});
    story.begin();
    story.command(&drain(1, Some(100)));
    for _ in 0..2 {
        story.speak();
        assert_eq!(pass(&mut story, 20), []);
    }
    let kept = story.controller.world().drains.clone();
    restart(&mut story);
    // Nobody was there for 50 seconds.
    story.controller.begin_drains(EPOCH + Duration::from_secs(91), kept.clone());
    story.controller.publish().expect("published");
    let now = progress(&story);
    assert_eq!((now.seconds, now.timeout_seconds, now.gone), (90, Some(10), false));
    assert_eq!(pass(&mut story, 9), []);
    assert!(progress(&story).flows_left.is_some(), "they are counted again");
    assert_eq!(pass(&mut story, 1).len(), 1);
    assert_eq!(story.controller.world().intent.admin(&member(1).0, &member(1).1), Admin::Disabled);
    // And where it was over meanwhile, it ends at once.
    let mut story = begun(|_| {});
    story.command(&drain(1, Some(100)));
    restart(&mut story);
    story.controller.begin_drains(EPOCH + Duration::from_secs(5000), kept);
    assert_eq!(pass(&mut story, 1).len(), 1);
}

#[test]
fn where_all_flows_are_tracked_or_none_nothing_is_unknown() {
    let mut story = begun(|service| service.scheduler = "round-robin".parse().expect("a scheduler"));
    let flows = story.begin();
    story.command(&drain(1, None));
    pass(&mut story, 3);
    let now = progress(&story);
    assert_eq!((now.flows_left, now.unknown_slots), (Some(has(&flows, 1) as u64), 0));

    let mut story = begun(|service| service.window = Some(Duration::ZERO));
    story.begin();
    story.command(&drain(1, None));
    assert_eq!(pass(&mut story, 1).len(), 1);
    assert!(progress(&story).gone);
}

#[test]
fn a_dead_member_that_drains_has_nothing_left() {
    let mut story = begun(|_| {});
    story.begin();
    story.command(&drain(1, None));
    story.speak();
    story.health(1, Health::Down);
    assert_eq!(pass(&mut story, 12).len(), 1);
    assert!(progress(&story).gone);
}

#[test]
fn maintenance_drains_a_whole_backend_and_gives_back_to_each_member_what_it_had() {
    let mut story = begun(|_| {});
    let dns = Service { slots: 101, ..service("dns", 2, &[1, 2]) };
    story.command(&Command::AddService { service: Box::new(dns) });
    let other = ("dns".parse().expect("a name"), backend(1).name);
    story.controller.verdict(other.clone(), Health::Up, None);
    story.command(&drain(1, Some(500)));
    let own = |story: &Story, key: &MemberKey| story.controller.world().intent.own_admin(&key.0, &key.1);
    story.command(&Command::SetAdmin {
        backend: backend(1).name,
        service: Some(other.0.clone()),
        admin: Admin::Enabled,
        timeout: None,
    });
    story.command(&maintain(1, Maintenance::Draining, Some(60)));
    for key in [member(1), other.clone()] {
        let now = story.controller.drain(&key).expect("it drains");
        assert_eq!((now.maintenance, now.timeout_seconds), (true, Some(60)));
    }
    // What it joins later is in maintenance as well.
    story.command(&Command::AddService {
        service: Box::new(Service { slots: 101, ..service("late", 3, &[1]) }),
    });
    let late = ("late".parse().expect("a name"), backend(1).name);
    assert!(story.controller.drain(&late).is_some_and(|drain| drain.maintenance));
    let mut ended = Vec::new();
    for _ in 0..6 {
        assert_eq!(ended, []);
        story.speak();
        ended = pass(&mut story, 10);
    }
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!((ended[0].draining.service.as_ref(), ended[0].end.timed_out), (None, true));
    let standings = story.controller.world().standings(&story.service());
    assert_eq!(standings[0], Standing::Down(Ineligible::Maintenance));
    assert_eq!(has(&story.speak(), 1), 0);
    assert_eq!((own(&story, &member(1)), own(&story, &other)), (Admin::Draining, Admin::Enabled));
    story.command(&maintain(1, Maintenance::Off, None));
    let now = progress(&story);
    assert_eq!((now.maintenance, now.timeout_seconds), (false, Some(440)), "its own drain went on");
    assert_eq!(story.controller.drain(&other), None);
}

#[test]
fn a_timeout_that_means_nothing_is_refused_and_changes_nothing() {
    let mut story = begun(|_| {});
    let intent = story.controller.world().intent.clone();
    let enable = |timeout| Command::SetAdmin {
        backend: backend(1).name,
        service: None,
        admin: Admin::Enabled,
        timeout: Some(Duration::from_secs(timeout)),
    };
    for (command, code, said) in [
        (drain(1, Some(0)), Code::OutOfRange, "a timeout of 0s is out of range: 1s to 168h"),
        (drain(1, Some(604_801)), Code::OutOfRange, "a timeout of 604801s is out of range: 1s to 168h"),
        (enable(9), Code::BadValue, "only a drain has a timeout: leave it out, or drain"),
        (
            maintain(1, Maintenance::Disabled, Some(9)),
            Code::BadValue,
            "only a drain has a timeout: leave it out, or drain",
        ),
        (maintain(9, Maintenance::Draining, None), Code::NoBackend, "there is no backend b9"),
    ] {
        let refused = story.controller.command(&command).expect_err("refused");
        assert_eq!((refused.code, refused.message.as_str()), (code, said));
        assert_eq!(story.controller.world().intent, intent);
        assert_eq!(story.controller.world().drains, Drains::default());
    }
}
