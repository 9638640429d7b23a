//! What is explained and listed from pinned tables, on this kernel: the program over own copies of what packets write agrees
//! with the decision, and flow tables are read.

use std::net::SocketAddr;

use vip_common::{headers::TCP, tables::Port};
use vip_userspace::{
    controller::{Packet, Question, WantedFlows, explain, flows},
    dataplane::AttachMode,
    places::Places,
};

use super::harness::{alone, on, open, publish, tables};

fn asked(destination: &str) -> Question {
    let source: SocketAddr = "192.0.2.7:40000".parse().expect("an address");
    let destination = destination.parse().expect("an address");
    Question::Packet(Packet { source, destination, protocol: TCP, syn: true, vlans: Vec::new() })
}

#[test]
fn an_explanation_agrees_with_the_program_and_flows_are_listed() {
    alone(|places| {
        let places = &Places { state: places.state.join("nowhere"), ..places.clone() };
        let mut dataplane = open(places);
        let mut wanted = tables();
        wanted.ports.insert(on("a").index, Port { mac: [2, 0, 0, 0, 1, 0], router: 0, flags: 0 });
        publish(&mut dataplane, &wanted);
        dataplane.attach("a", AttachMode::Auto).expect("attach");
        // To a service; to a VIP, but to no service of it; to nobody's address.
        for (to, reason) in
            [("10.0.0.1:80", "forwarded"), ("10.0.0.1:9", "local-vip"), ("10.9.9.9:1", "no-vip")]
        {
            let told = explain(places, &asked(to), Some("a")).expect("explain").expect("it is pinned");
            assert!(told.agrees, "{to}: {told:?}");
            assert_eq!(told.reason, reason, "{to}: {told:?}");
        }
        let all = WantedFlows { backend: None, service: None, limit: 10 };
        let list = flows(places, &all).expect("list").expect("it is pinned");
        assert_eq!((list.flows.len(), list.more), (0, 0), "nothing was written");
    });
}
