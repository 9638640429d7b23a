//! Whatever is written is read back, and the seed is not written.

use std::{net::IpAddr, time::Duration};

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::write;
use crate::{
    config::{Config, parse},
    model::{
        Access, Admin, Affinity, AffinityKind, Answer, AttachMode, Backend, Capacity, Check, Dns, Echo,
        Fragments, Grpc, Http, Intent, Mac, Maintenance, Member, Method, OnDead, Others, Ports, Probe,
        Protocol, Rcode, Record, Role, Scheduler, Script, Service, ServiceAddress, Target, Tls, Ttl,
        VipSettings,
    },
};

const EXAMPLE: &str = include_str!("../../../../docs/vip.toml");
const SEED: &str = "00112233445566778899aabbccddeeff";

#[test]
fn the_example_is_written_without_its_seed_and_read_back() {
    let config = parse(EXAMPLE).expect("a good configuration");
    let text = write(&config);
    assert!(
        config.seed.is_some() && !text.contains(SEED) && text.contains("# The seed is a secret"),
        "{text}"
    );
    assert_eq!(parse(&text).expect(&text), Config { seed: None, ..config });
}

#[test]
fn wishes_are_written_with_the_members_that_they_are_for() {
    let mut config = parse(EXAMPLE).expect("a good configuration");
    let [b1, b2] = ["b1", "b2"].map(|name| name.parse().expect("a name"));
    config.intent.set_admin(&b1, None, Admin::Disabled).expect("a member");
    config.intent.set_admin(&b2, None, Admin::Enabled).expect("a member");
    let text = write(&config);
    assert!(text.contains(r#"{ backend = "b1", weight = 100, admin = "disabled" }"#), "{text}");
    assert!(!text.contains("draining"), "{text}");
    assert_eq!(parse(&text).expect(&text).intent, config.intent);
}

/// A service, its members by the numbers of backends, and what is wanted of its VIP.
#[derive(Clone, Debug)]
struct Draft {
    service: Service,
    members: Vec<(usize, Member, Admin)>,
    vip: Option<VipSettings>,
}

fn backends() -> impl Strategy<Value = Vec<Backend>> {
    let one =
        (any::<bool>(), option::of(any::<[u8; 5]>()), option::of(vec(1..4095_u16, 0..=2)), any::<bool>());
    vec(one, 1..6).prop_map(|all| {
        let name = |at: usize| ["b1", "b.2", "B_3", "4", "b-5"][at].parse().expect("a name");
        let mac = |[a, b, c, d, e]: [u8; 5]| Mac([2, a, b, c, d, e]);
        (0..)
            .zip(all)
            .map(|(at, (both, stated, vlans, director))| Backend {
                ipv4: Some([10, 0, 0, u8::try_from(at).expect("few") + 1].into()),
                ipv6: both.then(|| [0xfd00, 0, 0, 0, 0, 0, 0, u16::try_from(at).expect("few") + 1].into()),
                mac: stated.map(mac),
                vlans,
                director,
                ..Backend::new(name(at))
            })
            .collect()
    })
}

fn tls() -> impl Strategy<Value = Tls> {
    let name = || option::of("[a-z0-9.-]{1,20}");
    (name(), name(), any::<bool>()).prop_map(|(sni, file, insecure)| {
        let ca = file.filter(|_| !insecure).map(|name| format!("/etc/{name}"));
        Tls { sni, ca, insecure }
    })
}

fn probe() -> impl Strategy<Value = Probe> {
    let host = option::of("[a-z0-9.-]{1,20}");
    let methods = select(&[Method::Get, Method::Options, Method::Post][..]);
    let answer = (100..200_u16, 200..=599_u16, option::of("\\PC{1,20}"));
    let http = (methods, "/[!-~]{0,20}", host, answer, option::of(tls())).prop_map(
        |(method, path, host, (low, high, body), tls)| {
            Probe::Http(Http { method, path, host, expect: (low, high), body, tls })
        },
    );
    let grpc = ("[!-~]{0,20}", option::of("[a-z0-9.-]{1,20}"), option::of(tls()))
        .prop_map(|(service, host, tls)| Probe::Grpc(Grpc { service, host, tls }));
    let records = select(&[Record::A, Record::Aaaa, Record::Soa][..]);
    let rcodes = select(&[Rcode::NoError, Rcode::NxDomain][..]);
    let dns = ("[a-z0-9-]{1,20}[.]?", records, rcodes)
        .prop_map(|(name, record, rcode)| Probe::Dns(Dns { name, record, rcode }));
    let script = (vec("\\PC{0,20}", 0..3), option::of("[a-z]{1,8}")).prop_map(|(arguments, user)| {
        let command = ["/bin/check".to_owned()].into_iter().chain(arguments).collect();
        Probe::Script(Script { command, user })
    });
    let plain = select(&[Probe::Tcp, Probe::Ping][..]);
    prop_oneof![plain, tls().prop_map(Probe::Tls), http, grpc, dns, script]
}

fn check() -> impl Strategy<Value = Check> {
    let probe = probe();
    let paces = (10..3_600_000_u64, any::<bool>(), any::<bool>());
    (probe, paces, 1..=100_u32, 1..=100_u32, 1..=u16::MAX, any::<bool>()).prop_map(
        |(probe, (interval, fast, down), rise, fall, port, through)| {
            let interval = Duration::from_millis(interval);
            let (fast_interval, down_interval) =
                (fast.then_some(Check::MIN_INTERVAL), down.then_some(Check::MAX_INTERVAL));
            let target = if through { Target::Vip } else { Target::Address };
            let timeout = interval;
            let port = (probe != Probe::Ping).then_some(port);
            Check { probe, interval, fast_interval, down_interval, timeout, rise, fall, port, target }
        },
    )
}

fn service(at: usize) -> impl Strategy<Value = Draft> {
    let ports = prop_oneof![
        (1..=u16::MAX).prop_map(Ports::One),
        (1..100_u16, 100..=u16::MAX).prop_map(|(first, last)| Ports::Range(first, last)),
        Just(Ports::Any),
    ];
    let address =
        (any::<bool>(), ports, select(&[Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Any][..]));
    let placing = (
        select(Scheduler::all().collect::<Vec<_>>()),
        option::of(option::of(1..=32_u8)),
        select(&[OnDead::Move, OnDead::Reset, OnDead::Drop, OnDead::Keep][..]),
        option::of(1..1000_u64),
        select(&[Fragments::Ports, Fragments::Addresses][..]),
    );
    let standing = (1..=1000_u32, 0..=1000_u32, option::of(1..=100_u32), option::of(1000..86_400_000_u64));
    let rest = (1..262_140_u32, any::<bool>(), any::<bool>(), option::of(check()), standing);
    let members = vec(
        (
            0..5_usize,
            0..=1000_u32,
            any::<bool>(),
            select(&[Admin::Enabled, Admin::Draining, Admin::Disabled][..]),
        ),
        0..6,
    );
    let vip = option::of((any::<bool>(), any::<bool>(), any::<bool>()));
    (address, placing, rest, members, vip).prop_map(move |(address, placing, rest, members, vip)| {
        let (is_v6, ports, protocol) = address;
        let (scheduler, prefix, on_dead, window, fragments) = placing;
        let (slots, keeps, resets, check, (quorum, hysteresis, threshold, slow_start)) = rest;
        let host = u8::try_from(at).expect("few") + 1;
        let vip_address: IpAddr = if is_v6 {
            [0xfd00, 0x200, 0, 0, 0, 0, 0, host.into()].into()
        } else {
            [10, 200, 0, host].into()
        };
        let ports = if protocol == Protocol::Any { Ports::Any } else { ports };
        let window = window.map(|seconds| Duration::from_millis(seconds * 500));
        let mut service = Service::new(
            format!("s.{at}").parse().expect("a name"),
            ServiceAddress { vip: vip_address, ports, protocol },
        );
        service.slots = slots;
        service.ttl = if keeps { Ttl::Keep } else { Ttl::Decrease };
        service.scheduler = scheduler;
        service.affinity =
            prefix.map_or(Affinity::Flow, |prefix| Affinity::new(AffinityKind::Source, vip_address, prefix));
        service.on_dead = on_dead;
        service.window = window;
        service.idle = window.map(|window| window * 3);
        service.fragments = fragments;
        service.no_backend = if resets { Answer::Reset } else { Answer::Drop };
        (service.quorum, service.quorum_hysteresis) = (quorum, hysteresis);
        service.panic_threshold = threshold.filter(|_| check.is_some());
        service.slow_start = slow_start.map(Duration::from_millis);
        service.check = check;
        let member = |(number, weight, backup, admin): (usize, u32, bool, Admin)| {
            (number, Member { weight, backup, ..Member::new("b1".parse().expect("a name")) }, admin)
        };
        let vip = vip.map(|(standby, forwards, resets)| VipSettings {
            role: if standby { Role::Standby } else { Role::Active },
            echo: if forwards { Echo::Backend } else { Echo::Answer },
            unknown_port: if resets { Answer::Reset } else { Answer::Drop },
        });
        Draft { service, members: members.into_iter().map(member).collect(), vip }
    })
}

/// What of the drafts can be an intent.
fn intent(backends: Vec<Backend>, drafts: Vec<Draft>) -> Intent {
    let mut intent = Intent::default();
    let names: Vec<_> = backends.iter().map(|backend| backend.name.clone()).collect();
    let kinds = [Maintenance::Off, Maintenance::Draining, Maintenance::Disabled];
    for backend in backends {
        let (name, kind) = (backend.name.clone(), kinds[backend.name.as_str().len() % 3]);
        intent.add_backend(backend).expect("a backend");
        intent.set_maintenance(&name, kind).expect("a backend");
    }
    for Draft { service, members, vip } in drafts {
        let (name, address) = (service.name.clone(), service.address.vip);
        if intent.add_service(service).is_err() {
            continue;
        }
        for (number, member, admin) in members {
            let backend = names[number % names.len()].clone();
            if intent.add_member(&name, Member { backend: backend.clone(), ..member }).is_ok() {
                intent.set_admin(&backend, Some(&name), admin).expect("a member");
            }
        }
        if let Some(vip) = vip {
            intent.set_vip(address, vip).expect("a VIP");
        }
    }
    intent
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        backends in backends(),
        drafts in (service(0).boxed(), service(1).boxed(), service(2).boxed()),
        router in option::of(1..=255_u8),
        peers in proptest::collection::btree_set(any::<[u8; 5]>(), 0..3),
        access in (option::of(select(&["vip", "\"adm'"][..])), select(&[Others::None, Others::Read][..])),
        local_clients in any::<bool>(),
        mode in select(&[AttachMode::Auto, AttachMode::Native, AttachMode::Generic][..]),
    ) {
        let config = Config {
            interfaces: vec!["eth0".to_owned(), "ü\"1'\\".to_owned()],
            egress_interfaces: router.map(|router| format!("x{router}")).into_iter().collect(),
            local_clients,
            virtual_router: router,
            peers: peers.into_iter().map(|[a, b, c, d, e]| Mac([2, a, b, c, d, e])).collect(),
            mode,
            seed: None,
            capacity: Capacity { flows: 4096, ..Capacity::default() },
            access: Access { group: access.0.map(str::to_owned), others: access.1 },
            intent: intent(backends, vec![drafts.0, drafts.1, drafts.2]),
        };
        let text = write(&config);
        let read = parse(&text);
        prop_assert!(read.is_ok(), "{:?}\n{}", read, text);
        prop_assert_eq!(read.expect("as above"), config, "{}", text);
    }
}
