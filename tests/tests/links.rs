//! What the director hears from the kernel about its links and backends, on real links. Needs root.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use tokio::{runtime, sync::mpsc::Receiver, time::timeout};
use vip_tests::net::{Host, Topology, run};
use vip_userspace::{
    model::{Mac, Neighbour, NoNeighbour, Place},
    net::{Groups, Link, Links, NetError, NetEvent, Watcher, groups, release},
};

/// Long enough for three unanswered questions of the kernel, which take 3 s, on a slow machine.
const DEADLINE: Duration = Duration::from_secs(20);

type Events = Receiver<Result<NetEvent, NetError>>;

/// Runs on the director, with a runtime of its own: namespaces belong to threads.
fn on<T: Send>(host: &Host, story: impl AsyncFnOnce() -> T + Send) -> T {
    host.namespace
        .run(|| {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(story())
        })
        .expect("enter the namespace")
}

fn one_backend() -> Topology {
    Topology::builder().clients(0).backends(1).build().expect("a topology")
}

/// The next event that `pick` takes; the others are passed over.
async fn next<T>(events: &mut Events, what: &str, mut pick: impl FnMut(NetEvent) -> Option<T>) -> T {
    let waiting = async {
        loop {
            let event = events.recv().await.expect("the watcher lives").expect("the kernel answers");
            if let Some(picked) = pick(event) {
                return picked;
            }
        }
    };
    timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("no event in {DEADLINE:?}: {what}"))
}

/// What is told next of the place of an address.
async fn place(events: &mut Events, of: IpAddr, what: &str) -> Result<Place, NoNeighbour> {
    next(events, what, |event| match event {
        NetEvent::Neighbour { address, result } if address == of => Some(result),
        _ => None,
    })
    .await
}

/// The next place of an address that is known.
async fn found(events: &mut Events, of: IpAddr, what: &str) -> Neighbour {
    next(events, what, |event| match event {
        NetEvent::Neighbour { address, result: Ok(Place::Link(found)) } if address == of => Some(found),
        _ => None,
    })
    .await
}

/// The next state of an interface that `wanted` takes.
async fn link(events: &mut Events, what: &str, wanted: impl Fn(&Link) -> bool) -> Link {
    next(events, what, |event| match event {
        NetEvent::Link(link) if wanted(&link) => Some(link),
        _ => None,
    })
    .await
}

fn neighbours(host: &Host) -> String {
    run(host.namespace.command("ip").args(["-d", "neigh"])).expect("list neighbours")
}

#[test]
fn a_backend_is_found_in_both_families_and_the_kernel_looks_after_it() {
    let net = one_backend();
    let (director, backend) = (&net.director, &net.backends[0]);
    let addresses = BTreeSet::from([IpAddr::V4(backend.address4), IpAddr::V6(backend.address6)]);
    let mac = Mac(backend.mac);
    let found = Ok(Place::Link(Neighbour { mac, ifindex: director.ifindex("eth0").expect("eth0") }));
    on(director, async || {
        let (watcher, mut events) = Watcher::start().expect("a watcher");
        watcher.watch(addresses.clone());
        for address in &addresses {
            assert_eq!(place(&mut events, *address, "it is found").await, found);
        }
        assert_eq!(neighbours(director).matches("managed extern_learn").count(), 2);

        drop(watcher);
        assert_eq!(neighbours(director).matches("managed").count(), 2, "the care outlives the controller");
        let (watcher, mut events) = Watcher::start().expect("another watcher");
        watcher.watch(addresses.clone());
        for address in &addresses {
            assert_eq!(place(&mut events, *address, "it is known to the next one").await, found);
        }

        drop(watcher);
        release(&addresses).await.expect("a release");
        let left = neighbours(director);
        assert!(addresses.iter().all(|address| !left.contains(&address.to_string())), "{left}");
        release(&addresses).await.expect("a second release");
    });
}

#[test]
fn a_backend_that_appears_later_is_told_without_any_traffic() {
    let net = one_backend();
    let (director, backend) = (&net.director, &net.backends[0]);
    let address = IpAddr::V4("10.77.0.200".parse().expect("an address"));
    on(director, async || {
        let (watcher, mut events) = Watcher::start().expect("a watcher");
        watcher.watch(BTreeSet::from([address]));
        let silent = place(&mut events, address, "nobody answers").await;
        assert_eq!(silent, Err(NoNeighbour::NoMac { interface: "eth0".to_owned() }));

        backend.namespace.ip(&[format!("address add {address}/24 dev eth0")]).expect("another address");
        let found = found(&mut events, address, "it answers").await;
        assert_eq!(found.mac, Mac(backend.mac));
    });
}

#[test]
fn another_mac_of_a_backend_is_told() {
    let net = one_backend();
    let (director, backend) = (&net.director, &net.backends[0]);
    let address = IpAddr::V4(backend.address4);
    // Otherwise the kernel ignores what it hears within a second of the last answer.
    director.namespace.sysctls(&[("ipv4/neigh/eth0/locktime", "0")]).expect("no lock");
    backend.namespace.sysctls(&[("ipv4/conf/all/arp_notify", "1")]).expect("announcements");
    on(director, async || {
        let (watcher, mut events) = Watcher::start().expect("a watcher");
        watcher.watch(BTreeSet::from([address]));
        assert_eq!(found(&mut events, address, "it is found").await.mac, Mac(backend.mac));
        backend.namespace.ip(&["link set eth0 address 02:00:5e:77:00:aa"]).expect("another MAC");
        let moved = found(&mut events, address, "it has another MAC").await;
        assert_eq!(moved.mac.to_string(), "02:00:5e:77:00:aa");
    });
}

#[test]
fn a_backend_that_is_not_on_the_link_is_told_with_the_reason_and_found_when_that_is_mended() {
    let net = one_backend();
    let (director, backend) = (&net.director, &net.backends[0]);
    let [far4, far6, nowhere] =
        ["10.99.0.1", "fd99::1", "192.0.2.1"].map(|text| text.parse::<IpAddr>().expect("an address"));
    let local = IpAddr::V4(director.address4);
    director
        .namespace
        .ip(&[
            format!("route add 10.99.0.0/24 via {}", backend.address4),
            format!("route add fd99::/64 via {}", backend.address6),
        ])
        .expect("routes");
    on(director, async || {
        let (watcher, mut events) = Watcher::start().expect("a watcher");
        watcher.watch(BTreeSet::from([far4, far6, local]));
        let behind = |gateway| Err(NoNeighbour::NotOnLink { gateway });
        assert_eq!(place(&mut events, local, "ours").await, Ok(Place::Here));
        assert_eq!(place(&mut events, far4, "behind a gateway").await, behind(backend.address4.into()));
        assert_eq!(place(&mut events, far6, "behind a gateway").await, behind(backend.address6.into()));
        watcher.watch(BTreeSet::from([far4, nowhere]));
        assert_eq!(place(&mut events, nowhere, "no route").await, Err(NoNeighbour::NoRoute));

        director.namespace.ip(&["route replace 10.99.0.0/24 dev eth0"]).expect("a route on the link");
        backend.namespace.ip(&[format!("address add {far4}/32 dev eth0")]).expect("the address");
        assert_eq!(found(&mut events, far4, "on the link now").await.mac, Mac(backend.mac));
    });
}

#[test]
fn a_pulled_cable_and_an_interface_that_is_switched_off_are_told_and_mend_by_themselves() {
    let net = one_backend();
    let (director, backend) = (&net.director, &net.backends[0]);
    let address = IpAddr::V4(backend.address4);
    on(director, async || {
        let (watcher, mut events) = Watcher::start().expect("a watcher");
        let first = link(&mut events, "the first links", |link| link.name == "eth0").await;
        assert_eq!((first.up, first.mac, first.mtu), (true, Some(Mac(director.mac)), 1500));
        watcher.watch(BTreeSet::from([address]));
        place(&mut events, address, "it is found").await.expect("found");

        net.unplug(director).expect("unplug");
        link(&mut events, "no carrier", |link| link.name == "eth0" && !link.up).await;
        net.plug(director).expect("plug");
        link(&mut events, "a carrier", |link| link.name == "eth0" && link.up).await;

        director.namespace.ip(&["link set eth0 down"]).expect("switch off");
        // Where the cable was out for seconds, the kernel has also told that nobody answered.
        let is_lost = |event| match event {
            NetEvent::Neighbour { result: Err(NoNeighbour::NoRoute), .. } => Some(()),
            _ => None,
        };
        next(&mut events, "no route", is_lost).await;
        director.namespace.ip(&["link set eth0 up"]).expect("switch on");
        assert_eq!(found(&mut events, address, "found again").await.mac, Mac(backend.mac));
    });
}

#[test]
fn interfaces_that_come_are_renamed_and_go_are_told() {
    let net = one_backend();
    let director = &net.director;
    on(director, async || {
        let (_watcher, mut events) = Watcher::start().expect("a watcher");
        let mut links = Links::list().await.expect("a list");
        assert!(links.by_name("eth0").is_some() && links.by_name("veth9").is_none());
        director.namespace.ip(&["link add veth9 type veth peer name veth8"]).expect("veth");
        let came = link(&mut events, "it comes", |link| link.name == "veth9").await;
        director.namespace.ip(&["link set veth9 name veth7"]).expect("another name");
        let renamed = link(&mut events, "it is renamed", |link| link.name == "veth7").await;
        assert_eq!((renamed.ifindex, renamed.up), (came.ifindex, false));
        links.apply(&NetEvent::Link(renamed));
        director.namespace.ip(&["link del veth7"]).expect("no veth");
        let is_gone = |event: NetEvent| match &event {
            NetEvent::LinkGone(link) if link.name == "veth7" => Some(event),
            _ => None,
        };
        let gone = next(&mut events, "it goes", is_gone).await;
        assert!(links.by_name("veth7").is_some());
        links.apply(&gone);
        assert!(links.by_name("veth7").is_none());
    });
}

#[test]
fn a_flushed_entry_is_mended_and_nothing_is_told() {
    let net = one_backend();
    let (director, backend) = (&net.director, &net.backends[0]);
    let [address, other] = [backend.address4, "10.77.0.99".parse().expect("an address")].map(IpAddr::V4);
    on(director, async || {
        let (watcher, mut events) = Watcher::start().expect("a watcher");
        watcher.watch(BTreeSet::from([address]));
        found(&mut events, address, "it is found").await;
        director.namespace.ip(&["neigh flush all"]).expect("a flush");
        assert!(!neighbours(director).contains("managed"));
        // The kernel needs 3 s to say that nobody answers: by then the flush has long been dealt with.
        watcher.watch(BTreeSet::from([address, other]));
        let told = next(&mut events, "nobody answers", |event| match event {
            NetEvent::Neighbour { address, result } => Some((address, result.is_ok())),
            _ => None,
        });
        assert_eq!(told.await, (other, false));
        let entries = neighbours(director);
        assert!(entries.contains(&format!("{address} dev eth0 lladdr")), "{entries}");
        assert_eq!(entries.matches("managed").count(), 2, "{entries}");
    });
}

#[test]
fn an_entry_of_the_operator_is_used_and_left_alone() {
    let net = one_backend();
    let (director, backend) = (&net.director, &net.backends[0]);
    let address = IpAddr::V4(backend.address4);
    let entry = format!("neigh replace {address} lladdr 02:00:00:00:00:42 dev eth0 nud permanent");
    director.namespace.ip(&[entry]).expect("an entry");
    on(director, async || {
        let (watcher, mut events) = Watcher::start().expect("a watcher");
        watcher.watch(BTreeSet::from([address]));
        assert_eq!(found(&mut events, address, "it is found").await.mac.to_string(), "02:00:00:00:00:42");
        release(&BTreeSet::from([address])).await.expect("a release");
        let entries = neighbours(director);
        assert!(entries.contains("02:00:00:00:00:42") && entries.contains("PERMANENT"), "{entries}");
    });
}

#[test]
fn a_change_that_the_kernel_could_not_tell_of_is_found_all_the_same() {
    let net = one_backend();
    let (director, backend) = (&net.director, &net.backends[0]);
    let address = IpAddr::V4(backend.address4);
    let permanent = |last: u32| {
        format!(
            "neigh replace 10.77.{}.{} lladdr 02:00:00:00:00:01 dev eth0 nud permanent",
            last >> 8,
            last & 0xff
        )
    };
    on(director, async || {
        let (watcher, mut events) = Watcher::start().expect("a watcher");
        watcher.watch(BTreeSet::from([address]));
        found(&mut events, address, "it is found").await;
        // Nothing is read meanwhile, for this thread is the runtime's only one: the buffer overflows.
        let many: Vec<_> = (0x100..0x3000).map(permanent).collect();
        director.namespace.ip(&many).expect("many entries");
        let change = format!("neigh replace {address} lladdr 02:00:00:00:00:42 dev eth0 nud permanent");
        director.namespace.ip(&[change]).expect("another MAC");
        let moved = found(&mut events, address, "it has another MAC").await;
        assert_eq!(moved.mac.to_string(), "02:00:00:00:00:42");
    });
}

#[test]
fn an_address_that_is_no_longer_watched_is_released() {
    let net = one_backend();
    let (director, backend) = (&net.director, &net.backends[0]);
    let [four, six] = [IpAddr::V4(backend.address4), IpAddr::V6(backend.address6)];
    on(director, async || {
        let (watcher, mut events) = Watcher::start().expect("a watcher");
        watcher.watch(BTreeSet::from([four]));
        found(&mut events, four, "it is found").await;
        watcher.watch(BTreeSet::from([six]));
        found(&mut events, six, "the other is found").await;
        let entries = neighbours(director);
        assert!(!entries.contains(&format!("{four} ")), "{entries}");
        assert_eq!(entries.matches("managed").count(), 1, "{entries}");
    });
}

#[test]
fn solicited_node_groups_are_joined_outlive_the_controller_and_are_left() {
    let net = one_backend();
    let director = &net.director;
    let listed =
        || run(director.namespace.command("ip").args(["maddr", "show", "dev", "eth0"])).expect("groups");
    let (mac, group) = ("33:33:ff:12:34:56", "ff02::1:ff12:3456");
    let vips = BTreeSet::from(["fd00:200::12:3456".parse().expect("a VIP")]);
    on(director, async || {
        let links = Links::list().await.expect("links");
        let ports = BTreeSet::from([links.by_name("eth0").expect("eth0").ifindex]);
        let mut groups = Groups::new().expect("a socket");
        for _ in 0..2 {
            assert!(groups.join(&ports, &vips, &links).is_empty());
            assert!(listed().contains(mac) && listed().contains(group), "{}", listed());
        }
        groups.join(&ports, &BTreeSet::new(), &links);
        assert!(!listed().contains(mac) && !listed().contains(group), "{}", listed());

        groups.join(&ports, &vips, &links);
        drop(groups);
        assert!(listed().contains(mac), "it outlives the controller: {}", listed());
        let memberships = Groups::memberships(&ports, &vips);
        for _ in 0..2 {
            groups::leave(&memberships, &links).expect("out of the group");
            assert!(!listed().contains(mac), "{}", listed());
        }
        let absent = BTreeSet::from([9999]);
        groups::leave(&Groups::memberships(&absent, &vips), &links).expect("an interface that is gone");
        let errors = Groups::new().expect("a socket").join(&absent, &vips, &links);
        assert!(errors[0].to_string().starts_with("interface 9999 can't join the group"), "{errors:?}");
    });
}
