//! The list of tracked flows, by what packets have left in the tables.

use vip_common::{host::HostTables, tables::tick};

use super::{flows::*, *};
use crate::{
    control::protocol::{FlowList, FlowState},
    controller::tracked::{Names, Wanted},
    dataplane::FlowEntries,
};

const ALL: Wanted = Wanted { backend: None, service: None, limit: 10_000 };

fn list(story: &Story, wanted: &Wanted, later: u64) -> FlowList {
    let host: HostTables = story.dataplane.host_tables();
    let flows = host.flows4.borrow();
    let flows4 = flows.iter().map(|(id, entry)| (*id, vip_common::tables::Entry::flow(entry))).collect();
    let entries = FlowEntries { flows4, ..FlowEntries::default() };
    let now = tick(host.now.get() + later * 1_000_000_000);
    let controller = &story.controller;
    let names = Names::new(&controller.world().intent, controller.numbers());
    names.list(&entries, controller.published(), now, wanted)
}

#[test]
fn tracked_flows_are_listed_with_their_names_until_they_count_for_nothing() {
    let mut story = story(|_| {});
    let flows = story.begin();
    assert_eq!(list(&story, &ALL, 0), FlowList::default(), "at rest nothing is tracked");
    story.admin(1, Admin::Draining);
    story.speak();
    let all = list(&story, &ALL, 0);
    assert_eq!((all.flows.len(), all.more), (has(&flows, 1), 0));
    let first = &all.flows[0];
    let said = (first.client.to_string(), first.vip.map(|vip| vip.to_string()), first.port);
    assert_eq!(said, ("192.0.2.7".to_owned(), Some("10.200.0.1".to_owned()), Some(80)));
    assert_eq!((first.protocol.as_deref(), first.state), (Some("tcp"), FlowState::Firm));
    let keys = all.flows.iter().map(|flow| (flow.service.clone(), flow.backend.clone()));
    assert!(keys.into_iter().all(|key| key == (Some(member(1).0), Some(member(1).1))));

    let few = list(&story, &Wanted { limit: 3, ..ALL }, 0);
    assert_eq!((&few.flows[..], few.more), (&all.flows[..3], has(&flows, 1) - 3));
    let other = Wanted { backend: Some(backend(2).name), ..ALL };
    assert_eq!(list(&story, &other, 0), FlowList::default());
    let silent = list(&story, &ALL, 20).flows[0].silent_seconds;
    assert!((19..=21).contains(&silent), "{silent}");
    assert_eq!(list(&story, &ALL, 60), FlowList::default(), "they are over, swept or not");
}

#[test]
fn what_is_asked_for_must_be_there() {
    let story = story(|_| {});
    let controller = &story.controller;
    let names = Names::new(&controller.world().intent, controller.numbers());
    let name = Some("b9".parse().expect("a name"));
    let refused = names.check(&Wanted { backend: name, ..ALL }).expect_err("nobody's");
    assert_eq!((refused.code, refused.message.as_str()), (Code::NoBackend, "there is no backend b9"));
    let name = Some("dns".parse().expect("a name"));
    let refused = names.check(&Wanted { service: name, ..ALL }).expect_err("nobody's");
    assert_eq!(refused.code, Code::NoService);
    names
        .check(&Wanted { backend: Some(backend(1).name), service: Some(member(1).0), ..ALL })
        .expect("there");
}
