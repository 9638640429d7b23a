//! The program that traces: it takes the director's place in the links and gives it back, and the director has nothing of it.

use aya::{
    Ebpf,
    programs::{ProgramInfo, loaded_programs},
};
use bytemuck::Zeroable as _;
use vip_common::trace::{self, WantedPackets};
use vip_userspace::{
    dataplane::{AttachMode, KernelDataplane, TraceCounts, object},
    places::Places,
};

use super::harness::{alone, link, map_ids, on, open, program_id, publish, tables};

/// Bound on the instructions that the verifier processes, of the 1,000,000 that it allows.
const MOST: u32 = 130_000;

/// No packet: its time is over. Neighbours may speak meanwhile.
fn nothing() -> WantedPackets {
    WantedPackets { until: 0, every: 1, allowance: 1000, ..WantedPackets::zeroed() }
}

/// Runs in a runtime, which waiting for packets needs.
fn with_runtime(test: impl AsyncFnOnce(&Places) + Send + 'static) {
    alone(|places| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(test(places));
    });
}

/// The program in the link of an interface.
fn program_of(places: &Places, name: &str) -> ProgramInfo {
    let id = link(places, on(name).index).1;
    loaded_programs().filter_map(Result::ok).find(|info| info.id() == id).expect("it is loaded")
}

fn attached(places: &Places) -> KernelDataplane {
    let mut dataplane = open(places);
    publish(&mut dataplane, &tables());
    for name in ["a", "b"] {
        dataplane.attach(name, AttachMode::Auto).expect("attach");
    }
    dataplane
}

#[test]
fn the_program_that_traces_takes_the_directors_place_and_gives_it_back() {
    with_runtime(async |places| {
        let mut dataplane = attached(places);
        let (director, maps) = (program_id(&dataplane), map_ids(places));
        let links = ["a", "b"].map(|name| link(places, on(name).index).0);
        let packets = dataplane.trace(&nothing()).expect("trace");
        for name in ["a", "b"] {
            let info = program_of(places, name);
            assert_eq!(info.name_as_str(), Some(object::TRACER_PROGRAM));
            let count = info.verified_instruction_count().expect("a count");
            #[expect(clippy::print_stdout, reason = "the count is worth knowing when it is fine, too")]
            {
                println!("the verifier processed {count} instructions of the tracer, at most {MOST}");
            }
            assert!((1..=MOST).contains(&count), "the verifier processed {count} instructions");
        }
        // What is attached meanwhile is traced as well.
        assert!(dataplane.attach("a", AttachMode::Auto).expect("attach again").adopted);
        assert_ne!(program_of(places, "a").id(), director);
        assert_eq!(dataplane.end_trace().expect("end it"), TraceCounts::default());
        drop(packets);
        for (name, before) in ["a", "b"].into_iter().zip(links) {
            assert_eq!(link(places, on(name).index), (before, director), "the director in the same link");
        }
        assert_eq!(map_ids(places), maps, "the tables are the same");
    });
}

#[test]
fn the_next_controller_puts_the_director_back_after_one_that_died_while_it_traced() {
    with_runtime(async |places| {
        let mut first = attached(places);
        let packets = first.trace(&nothing()).expect("trace");
        let traced = program_of(places, "a").id();
        drop((first, packets));
        assert_eq!(program_of(places, "a").id(), traced, "it forwards on");
        let second = attached(places);
        for name in ["a", "b"] {
            assert_eq!(program_of(places, name).id(), program_id(&second));
        }
    });
}

#[test]
fn the_director_has_nothing_of_the_tracer() {
    let maps = |object: &[u8]| -> Vec<String> {
        let ebpf = Ebpf::load(object).expect("load");
        ebpf.maps().map(|(name, _)| name.to_owned()).collect()
    };
    let own = [
        trace::names::TRACE_WANTED,
        trace::names::TRACE_COUNTS,
        trace::names::TRACE_HEAD,
        trace::names::TRACES,
    ];
    let (director, tracer) = (maps(object::DIRECTOR), maps(object::TRACER));
    for name in own {
        assert!(tracer.iter().any(|one| one == name), "{name} in {tracer:?}");
        assert!(!director.iter().any(|one| one == name), "{name} in {director:?}");
    }
}
