//! The rig: a driver program that writes each packet anew, of the next flow, and tail-calls the program under test.
//!
//! Times are this thread's CPU time around the system call, not wall-clock time: the kernel waits for readers of its XDP
//! dispatcher (several milliseconds) before and after a run, and other processes take the CPU. The duration that the kernel
//! reports has neither, but is cut to whole nanoseconds, a fiftieth of what is measured.

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, PerCpuArray, ProgramArray},
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use bytemuck::{Zeroable as _, bytes_of, cast};
use rustix::time::{ClockId, clock_gettime};
use vip_common::{
    MemberId, Verb,
    headers::{TCP, UDP},
    measure::{Drive, FloorMacs},
    tables::{
        Egress, EgressId, Member, MemberEntry, Port, Service, ServiceKey4, ServiceKey6, Slot, Terms, names,
    },
};
use vip_userspace::{dataplane::object, plan::Tables, ring::Ring};

use super::scenario::{Scenario, Target};
use crate::{
    kernel::{context, load, program, publish},
    net::require_root,
    world::{OWN_MAC, PORT, VIP4, VIP6, WEB, flow_key, mac_of},
};

/// Backends of the service, each with a share of its slots.
const BACKENDS: u32 = 8;
/// Services beside the one that gets the packets.
const MANY: u32 = 10_000;
/// Slots of each of these.
const FEW_SLOTS: u32 = 251;
/// Slots of the service: the default of a service.
const SLOTS: u32 = 16_381;
/// Entries of the tables: room for [`MANY`] services.
const CAPACITY: (u32, u32, u32) = (1 << 15, 3 << 20, 4096);
/// Entries of each flow table: more than the flows of any scenario.
const FLOWS: u32 = 1 << 21;
/// Entries of a flow table that is short.
const SHORT: u32 = 1 << 14;
/// Flows take turns in another order in every run: in the order in which they were entered, a table's memory would be walked
/// from one end to the other, as no traffic does. Primes that don't divide a number of flows.
pub(super) const STRIDES: [u32; 5] = [611_953, 350_377, 821_641, 104_729, 482_927];
/// The first client, as a number; others count up.
pub(super) const FIRST_CLIENT: u32 = 0x0a00_0000;

/// The driver and all programs under test, loaded.
#[derive(Debug)]
pub struct Rig {
    measure: Ebpf,
    director: Ebpf,
    _others: [Ebpf; 4],
    runs: usize,
}

impl Rig {
    /// Loads everything, with one VIP of each family and 8 backends.
    ///
    /// # Errors
    /// The kernel refuses a program or a table, or this process is not root.
    pub fn load() -> Result<Self> {
        require_root()?;
        let director = started(&tables(PORT), 64)?;
        let short = started(&tracked(), SHORT)?;
        let tracked = started(&tracked(), FLOWS)?;
        let one = started(&small(0), 64)?;
        let many = started(&small(MANY), 64)?;
        let mut measure = EbpfLoader::new().load(object::MEASURE).context("load the object vip-measure")?;
        for name in ["driver", "floor", "bare", "look_up", "look_up_age", "look_up_member"] {
            let program: &mut Xdp =
                measure.program_mut(name).with_context(|| format!("the object has no {name}"))?.try_into()?;
            program.load().with_context(|| format!("load the program {name}"))?;
        }
        let macs = FloorMacs { destination: mac_of(MemberId(1)), source: OWN_MAC };
        let mut vips: HashMap<_, [u8; 4], [u8; 12]> = map(&mut measure, "FLOOR_VIPS")?.try_into()?;
        vips.insert(VIP4, cast::<_, [u8; 12]>(macs), 0)?;
        let targets = [
            (Target::Bare, program(&measure, "bare")?.fd()?.try_clone()?),
            (Target::Floor, program(&measure, "floor")?.fd()?.try_clone()?),
            (Target::Director, program(&director, "director")?.fd()?.try_clone()?),
            (Target::LookUp, program(&measure, "look_up")?.fd()?.try_clone()?),
            (Target::LookUpAge, program(&measure, "look_up_age")?.fd()?.try_clone()?),
            (Target::LookUpMember, program(&measure, "look_up_member")?.fd()?.try_clone()?),
            (Target::Tracked, program(&tracked, "director")?.fd()?.try_clone()?),
            (Target::Short, program(&short, "director")?.fd()?.try_clone()?),
            (Target::Many, program(&many, "director")?.fd()?.try_clone()?),
            (Target::One, program(&one, "director")?.fd()?.try_clone()?),
        ];
        let mut places: ProgramArray<_> = map(&mut measure, "TARGETS")?.try_into()?;
        for (target, program) in targets {
            places.set(target as u32, &program, 0)?;
        }
        Ok(Self { measure, director, _others: [tracked, short, one, many], runs: 0 })
    }

    /// Sends `packets` packets of a scenario and returns what one took, driver included, in ns.
    ///
    /// # Errors
    /// The kernel refuses the run, or packets got something else than the scenario says.
    pub fn time(&mut self, scenario: &Scenario, packets: u32) -> Result<f64> {
        let mut template = [0; 64];
        template.copy_from_slice(&scenario.frame[..64]);
        let drive = Drive {
            template: cast(template),
            target: scenario.target as u32,
            flows: scenario.flows,
            vary_at: scenario.vary_at,
            first_flow: FIRST_CLIENT,
            stride: STRIDES[self.runs % STRIDES.len()] % scenario.flows,
            zero: 0,
        };
        self.runs += 1;
        let mut value = [0; 88];
        value.copy_from_slice(bytes_of(&drive));
        let mut place: Array<_, [u8; 88]> = map(&mut self.measure, "DRIVE")?.try_into()?;
        place.set(0, value, 0)?;
        let context = context(scenario.frame.len(), PORT);
        let mut options = TestRunOptions::new();
        options.data_in = Some(&scenario.frame);
        options.ctx_in = Some(&context);
        options.repeat = packets;
        let driver = program(&self.measure, "driver")?;
        let start = cpu_time();
        let result = driver.test_run(options).context("test run of driver")?;
        let spent = cpu_time() - start;
        let wanted = match scenario.verb {
            Verb::Drop => 1,
            Verb::Pass => 2,
            Verb::Transmit => 3,
            Verb::Redirect => 4,
        };
        let (name, got) = (scenario.name, result.return_value);
        ensure!(got == wanted, "{name}: the program returned {got}, not {wanted}");
        Ok(spent / f64::from(packets))
    }

    /// Packets that went to each backend so far.
    ///
    /// # Errors
    /// A counter can't be read.
    pub fn shares(&self) -> Result<Vec<u64>> {
        let map = self.director.map(names::MEMBER_COUNTS).context("the object has no counters")?;
        let counts: PerCpuArray<_, [u64; 4]> = map.try_into()?;
        (1..=BACKENDS).map(|id| Ok(counts.get(&id, 0)?.iter().map(|[packets, ..]| packets).sum())).collect()
    }
}

/// A director with these tables, and room for so many flows.
pub(super) fn started(tables: &Tables, flows: u32) -> Result<Ebpf> {
    let mut director = load(CAPACITY.0, CAPACITY.1, CAPACITY.2, flows)?;
    publish(&mut director, tables)?;
    Ok(director)
}

/// One VIP of each family with TCP and UDP, 8 backends that take turns in the ring; all of it at one port.
pub(super) fn tables(port: u32) -> Tables {
    let (ingress, own_port) = (port, Port { mac: OWN_MAC, router: 0, flags: 0 });
    let service = Service { ring_first: 1, ring_size: SLOTS, id: 1, ..Service::zeroed() };
    let own = Service { flags: Service::ANSWERS_ECHO, ..service };
    let port = WEB.to_be_bytes();
    let members = (1..=BACKENDS).map(MemberId);
    let slots: Vec<_> = members.clone().cycle().map(Slot::of).take(SLOTS as usize).collect();
    let mut tables = Tables {
        ports: [(ingress, own_port)].into(),
        rings: [(service.ring_first, slots.into())].into(),
        members: members
            .map(|id| {
                (id, MemberEntry::new(Member { mac: mac_of(id), egress: EgressId(1), state: Member::UP }, 1))
            })
            .collect(),
        egresses: [(EgressId(1), Egress::untouched(ingress, OWN_MAC))].into(),
        flow_key: Some(flow_key(1)),
        services4: [(ServiceKey4::vip(VIP4), own)].into(),
        services6: [(ServiceKey6::vip(VIP6), own)].into(),
        ..Tables::default()
    };
    for protocol in [TCP, UDP] {
        tables.services4.insert(ServiceKey4 { vip: VIP4, port, protocol, zero: 0 }, service);
        tables.services6.insert(ServiceKey6 { vip: VIP6, port, protocol, zero: 0 }, service);
    }
    tables
}

/// The same, in the middle of a change: every slot remembers, and every flow has an entry.
fn tracked() -> Tables {
    let mut tables = tables(PORT);
    let older = |slot: Slot| Slot::tracked(MemberId(slot.current.0 % BACKENDS + 1), slot.current);
    for slots in tables.rings.values_mut() {
        *slots = slots.iter().map(older).collect();
    }
    tables.terms = [(1, Terms { period: 1, allowance: u32::MAX, idle: 7200, always: 0 })].into();
    tables
}

/// The same, with so many services more; each, and the one that gets the packets, has [`FEW_SLOTS`] slots.
fn small(more: u32) -> Tables {
    let mut tables = tables(PORT);
    let members = (1..=BACKENDS).map(MemberId);
    let slots: Ring = members.cycle().map(Slot::of).take(FEW_SLOTS as usize).collect();
    let first = tables.services4.values().next().map_or(1, |service| service.ring_first);
    tables.rings = [(first, slots.clone())].into();
    let services = tables.services4.values_mut().chain(tables.services6.values_mut());
    services.for_each(|service| service.ring_size = FEW_SLOTS);
    for number in 1..=more {
        let place = first + number * FEW_SLOTS;
        let service =
            Service { ring_first: place, ring_size: FEW_SLOTS, id: number + 1, ..Service::zeroed() };
        let vip = (0x0ac9_0000 + number).to_be_bytes();
        tables.rings.insert(place, slots.clone());
        let key = ServiceKey4 { vip, port: WEB.to_be_bytes(), protocol: TCP, zero: 0 };
        tables.services4.extend([(key, service), (ServiceKey4::vip(vip), service)]);
    }
    tables
}

fn map<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut aya::maps::Map> {
    ebpf.map_mut(name).with_context(|| format!("the object has no map {name}"))
}

/// What this thread has spent on a CPU, in ns.
#[expect(clippy::cast_precision_loss, reason = "a few minutes of nanoseconds")]
pub(super) fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
