//! Slots that remember, as a whole: the controller changes tables, packets go through the very decision that runs in the
//! kernel, time passes, and no flow that speaks within each window, and whose backend stays up, ever moves.
//!
//! The reference knows nothing of rings, slots and entries: a flow lives on the backend that got its SYN.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use proptest::prelude::*;
use vip_common::{
    MemberId, Reason,
    headers::{ETHERTYPE_IPV4, TCP, UDP},
    host::HostFrame,
    tables::Slot,
};
use vip_userspace::{
    control::{Command, protocol::Membership},
    controller::Controller,
    dataplane::{Dataplane as _, fake::FakeDataplane},
    model::{
        Admin, Affinity, Backend, Capacity, Check, Fragments, Health, Intent, Mac, Member, Neighbour, OnDead,
        Place, Probe, Protocol, Scheduler, Service, World,
    },
    plan::{Numbers, Tables},
    ring::Ring,
};

/// Few member ids, so that they are reused; room for every flow.
const CAPACITY: Capacity =
    Capacity { slots: 1 << 13, members: 9, services: 1, flows: 1 << 16, fragments: 16 };
const PORT: u32 = 3;
const OWN: [u8; 6] = [2, 0, 0, 0, 0, 9];
const BACKENDS: u8 = 6;
const FLOWS: u8 = 60;
/// The settle window. Flows speak every 2 to 10 s.
const WINDOW: u64 = 12;

#[derive(Clone, Debug)]
enum Step {
    /// The flow ends if there is one, and begins; its SYN is sent so often, with a second between.
    Begin(u8, u8),
    /// A SYN that the flow's client never sent.
    Forge(u8, u32),
    /// Its last segment is a FIN.
    End(u8),
    Admin(u8, Admin),
    Weight(u8, u32),
    /// Added where it is no backend, else removed.
    Toggle(u8),
    Health(u8, bool),
    Pass(u8),
    Restart,
    /// The next write of the tables fails after so many operations.
    Fail(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (flow, backend) = (0..FLOWS, 1..=BACKENDS);
    let admin = prop::sample::select(vec![Admin::Enabled, Admin::Draining, Admin::Disabled]);
    let step = prop_oneof![
        12 => (flow.clone(), 1..3_u8).prop_map(|(flow, syns)| Step::Begin(flow, syns)),
        4 => (flow.clone(), any::<u32>()).prop_map(|(flow, sequence)| Step::Forge(flow, sequence)),
        1 => flow.prop_map(Step::End),
        4 => (backend.clone(), admin).prop_map(|(backend, admin)| Step::Admin(backend, admin)),
        2 => (backend.clone(), prop::sample::select(vec![0, 1, 100, 300]))
            .prop_map(|(backend, weight)| Step::Weight(backend, weight)),
        3 => backend.clone().prop_map(Step::Toggle),
        4 => (backend, any::<bool>()).prop_map(|(backend, up)| Step::Health(backend, up)),
        8 => (1..8_u8).prop_map(Step::Pass),
        1 => Just(Step::Restart),
        1 => (0..30_usize).prop_map(Step::Fail),
    ];
    prop::collection::vec(step, 1..120)
}

fn service() -> impl Strategy<Value = Service> {
    let protocol = prop::sample::select(vec![Protocol::Tcp, Protocol::Tcp, Protocol::Udp]);
    let on_dead = prop::sample::select(vec![OnDead::Move, OnDead::Reset, OnDead::Drop, OnDead::Keep]);
    let affinity =
        prop::sample::select(vec![Affinity::Flow, Affinity::Source { ipv4_prefix: 32, ipv6_prefix: 128 }]);
    let scheduler =
        prop_oneof![Just(Scheduler::default()), prop::sample::select(Scheduler::all().collect::<Vec<_>>()),];
    let fragments = prop::sample::select(vec![Fragments::Ports, Fragments::Ports, Fragments::Addresses]);
    let placing = (affinity, scheduler, fragments);
    (protocol, on_dead, placing).prop_map(|(protocol, on_dead, (affinity, scheduler, fragments))| {
        let address = format!("10.200.0.1:80/{protocol}").parse().expect("an address");
        Service {
            slots: 61,
            window: Some(Duration::from_secs(WINDOW)),
            idle: Some(Duration::from_secs(WINDOW)),
            on_dead,
            affinity,
            scheduler,
            fragments,
            check: Some(Check { port: Some(80), ..Check::new(Probe::Tcp) }),
            members: (1..=4).map(|n| Member::new(backend(n).name)).collect(),
            ..Service::new("web".parse().expect("a name"), address)
        }
    })
}

fn backend(n: u8) -> Backend {
    let name = format!("b{n}").parse().expect("a name");
    Backend { ipv4: Some([10, 0, 0, n].into()), ..Backend::new(name) }
}

/// What the reference knows of a flow.
#[derive(Clone, Copy, Debug)]
struct Life {
    /// The backend that got its SYN, and how often that had been lost by then.
    home: (u8, u32),
    sequence: u32,
    spoke: u64,
}

struct Story {
    dataplane: FakeDataplane,
    controller: Controller<FakeDataplane>,
    service: Service,
    seconds: u64,
    /// When the controller began.
    began: u64,
    flows: BTreeMap<u8, Life>,
    /// How often each backend was down, out or gone.
    losses: [u32; BACKENDS as usize + 1],
    checked: usize,
}

impl Story {
    fn new(service: Service) -> Self {
        let mut intent = Intent::default();
        for n in 1..=4 {
            intent.add_backend(backend(n)).expect("a backend");
        }
        intent.add_service(service.clone()).expect("a service");
        let world = World { intent: intent.into(), ..World::default() };
        let dataplane = FakeDataplane::new(CAPACITY);
        let controller = controller(&dataplane, world, &Numbers::new(CAPACITY));
        let mut story = Self {
            dataplane,
            controller,
            service,
            seconds: 0,
            began: 0,
            flows: BTreeMap::new(),
            losses: [0; BACKENDS as usize + 1],
            checked: 0,
        };
        (1..=4).for_each(|n| story.health(n, true));
        story.pass(1);
        story
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Begin(flow, syns) => self.begin(flow, syns),
            Step::Forge(flow, sequence) => self.forge(flow, sequence),
            Step::End(flow) => {
                if self.flows.contains_key(&flow) {
                    self.speak(flow, FIN | ACK);
                    self.flows.remove(&flow);
                }
            }
            Step::Admin(n, admin) => {
                // Done or failed half-way: its flows may have moved.
                self.losses[usize::from(n)] += u32::from(admin == Admin::Disabled);
                self.command(&Command::SetAdmin {
                    backend: backend(n).name,
                    service: None,
                    admin,
                    timeout: None,
                });
            }
            Step::Weight(n, weight) => {
                self.command(&Command::SetWeight { backend: backend(n).name, service: None, weight });
            }
            Step::Toggle(n) => self.toggle(n),
            Step::Health(n, up) => self.health(n, up),
            Step::Pass(seconds) => self.pass(seconds),
            Step::Restart => self.restart(),
            Step::Fail(operations) => self.dataplane.fail_after(operations),
        }
    }

    fn begin(&mut self, flow: u8, syns: u8) {
        self.flows.remove(&flow);
        for _ in 0..syns {
            self.pass(1);
            self.begin_at_once(flow);
        }
        self.speak(flow, ACK);
    }

    /// Wherever its first packet goes is where it lives, from then on. A datagram is a first one, as any other.
    fn begin_at_once(&mut self, flow: u8) {
        let sequence = u32::from(flow) << 24;
        match self.send(flow, SYN, sequence) {
            Some((n, id)) if self.is_alive(id) => {
                let home = (n, self.losses[usize::from(n)]);
                self.flows.insert(flow, Life { home, sequence, spoke: self.seconds });
            }
            // To nobody, or to a dead one, as the service wants it to: that is no beginning.
            _ => drop(self.flows.remove(&flow)),
        }
    }

    /// Whether a backend is in, by the number that it was reached by: a removed one may be back under another.
    fn is_alive(&self, id: MemberId) -> bool {
        self.controller.published().members.get(&id).is_some_and(|entry| entry.member.is_alive())
    }

    /// A sequence number that no segment of the flow comes near to.
    fn forge(&mut self, flow: u8, sequence: u32) {
        let own = u32::from(flow) << 24;
        let sequence = if sequence.abs_diff(own) < 1 << 20 { own ^ 1 << 31 } else { sequence };
        if self.flows.contains_key(&flow) && self.service.address.protocol == Protocol::Tcp {
            self.send(flow, SYN, sequence);
        }
    }

    /// The flow's next segment: it meets its backend, if that was never lost; else the client gives up.
    fn speak(&mut self, flow: u8, flags: u8) {
        let Some(life) = self.flows.get_mut(&flow) else { return };
        life.sequence += 1;
        life.spoke = self.seconds;
        let Life { home: (n, losses), sequence, .. } = *life;
        if self.losses[usize::from(n)] != losses {
            self.flows.remove(&flow);
            if self.service.address.protocol == Protocol::Udp {
                self.begin_at_once(flow);
            }
            return;
        }
        assert_eq!(
            self.send(flow, flags, sequence).map(|(n, _)| n),
            Some(n),
            "flow {flow} at {} s",
            self.seconds
        );
        self.checked += 1;
    }

    /// The backend that a segment of a flow got to.
    fn send(&self, flow: u8, flags: u8, sequence: u32) -> Option<(u8, MemberId)> {
        let mut frame = HostFrame::new(&segment(self.service.address.protocol, flow, flags, sequence), PORT);
        let action = self.dataplane.direct(&mut frame);
        (action.reason == Reason::Forwarded).then(|| (frame.bytes[5], action.member))
    }

    fn pass(&mut self, seconds: u8) {
        for _ in 0..seconds {
            self.seconds += 1;
            self.dataplane.set_clock(self.seconds * 1_000_000_000);
            self.controller.time(Duration::from_secs(self.seconds - self.began));
            let refused = self.controller.look_after_flows().expect("looked after");
            assert!(refused.is_empty(), "there is room for every flow: {refused:?}");
            self.publish();
            let due = |(flow, life): (&u8, &Life)| self.seconds - life.spoke >= 2 + u64::from(flow % 9);
            let due: Vec<_> = self.flows.iter().filter(|one| due(*one)).map(|(flow, _)| *flow).collect();
            due.into_iter().for_each(|flow| self.speak(flow, ACK));
        }
    }

    /// What fails is repaired at the next attempt, but one second later.
    fn publish(&mut self) {
        let _ = self.controller.publish();
    }

    /// True if it was done.
    fn command(&mut self, command: &Command) -> bool {
        self.controller.command(command).is_ok()
    }

    fn toggle(&mut self, n: u8) {
        let name = backend(n).name;
        if self.controller.world().intent.backends().contains_key(&name) {
            self.losses[usize::from(n)] += 1;
            self.command(&Command::RemoveBackend { name, service: None });
        } else {
            let services =
                vec![Membership { service: self.service.name.clone(), weight: 100, backup: false }];
            if self.command(&Command::AddBackend { backend: backend(n), services }) {
                self.health(n, true);
            }
        }
    }

    fn health(&mut self, n: u8, up: bool) {
        let health = if up { Health::Up } else { Health::Down };
        self.losses[usize::from(n)] += u32::from(!up);
        self.controller.verdict((self.service.name.clone(), backend(n).name), health, None);
        self.publish();
    }

    fn restart(&mut self) {
        // Nobody dies of a write that failed: a controller that ends half-way is another story.
        self.dataplane.fail_after(usize::MAX);
        self.publish();
        let (world, labels) = (self.controller.world().clone(), self.controller.numbers().labels());
        let published = self.dataplane.read().expect("tables");
        let numbers = Numbers::adopt(CAPACITY, &published, &labels, &world.intent).expect("numbers");
        self.controller = controller(&self.dataplane, world, &numbers);
        self.began = self.seconds;
    }

    fn entries(&self) -> usize {
        self.dataplane.host_tables().flows4.borrow().len()
    }

    fn tracked(&self) -> usize {
        let Tables { rings, .. } = self.controller.published();
        rings.values().flat_map(Ring::iter).filter(Slot::is_tracked).count()
    }
}

fn controller(dataplane: &FakeDataplane, world: World, numbers: &Numbers) -> Controller<FakeDataplane> {
    let (mut numbers, published) = (numbers.clone(), dataplane.read().expect("tables"));
    numbers.assign(&world.intent, &published).expect("room");
    let key = "000102030405060708090a0b0c0d0e0f".parse().expect("a seed");
    let mut controller = Controller::new(world, numbers, key, dataplane.clone()).expect("a controller");
    controller.port(PORT, "eth0".to_owned(), Mac(OWN));
    for n in 1..=BACKENDS {
        let there = Place::Link(Neighbour { mac: Mac([2, 0, 0, 0, 1, n]), ifindex: PORT });
        controller.neighbour(IpAddr::from([10, 0, 0, n]), Ok(there));
    }
    controller
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// Flows so far from each other are of one client.
const CLIENTS: u8 = 30;

/// A segment of a flow; of UDP, a datagram.
fn segment(protocol: Protocol, flow: u8, flags: u8, sequence: u32) -> Vec<u8> {
    let mut bytes = vec![0; 54];
    bytes[..6].copy_from_slice(&OWN);
    bytes[12..14].copy_from_slice(&ETHERTYPE_IPV4);
    bytes[14] = 0x45;
    bytes[17] = 40;
    bytes[22] = 64;
    bytes[26..30].copy_from_slice(&[192, 0, 2, flow % CLIENTS]);
    bytes[30..34].copy_from_slice(&[10, 200, 0, 1]);
    bytes[34..36].copy_from_slice(&(1024 + u16::from(flow)).to_be_bytes());
    bytes[36..38].copy_from_slice(&80_u16.to_be_bytes());
    if protocol == Protocol::Udp {
        bytes[23] = UDP;
        bytes[39] = 20;
    } else {
        bytes[23] = TCP;
        bytes[38..42].copy_from_slice(&sequence.to_be_bytes());
        bytes[46] = 0x50;
        bytes[47] = flags;
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn no_flow_moves_that_speaks_and_whose_backend_stays_up(service in service(), steps in steps()) {
        let mut story = Story::new(service);
        for step in &steps {
            story.step(step);
        }
        // They all end, and nothing is left.
        story.flows.clear();
        story.pass(100);
        prop_assert_eq!(story.entries(), 0);
        prop_assert_eq!(story.tracked(), 0);
    }
}
