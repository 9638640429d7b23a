//! What holds for every scheduler, whichever there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
};

use super::*;
use crate::ring::testing::{key, members, owned};

const WEIGHTS: [u32; 5] = [100, 0, 300, 1, 100];

#[test]
fn each_file_is_a_scheduler_that_is_listed() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ring/schedulers");
    let files = fs::read_dir(dir).expect("the directory").map(|entry| entry.expect("an entry").path());
    let stems = files.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned());
    let files: BTreeSet<_> = stems.filter(|stem| stem != "mod" && stem != "tests").collect();
    let listed = Scheduler::all().map(|scheduler| scheduler.word().replace('-', "_")).collect();
    assert_eq!(files, listed, "ALL in mod.rs has each of them, by the name of its file");
    assert_eq!(Scheduler::all().len(), files.len(), "none twice");
}

#[test]
fn each_one_has_a_word_for_the_command_line_and_is_explained() {
    for scheduler in Scheduler::all() {
        let word = scheduler.word();
        assert!(word.bytes().all(|letter| letter.is_ascii_lowercase() || letter == b'-'), "{word}");
        assert!(!scheduler.about().is_empty() && !scheduler.about().ends_with('.'), "{word}");
        for (document, text) in [
            ("operate.md", include_str!("../../../../docs/operate.md")),
            ("vip.toml", include_str!("../../../../docs/vip.toml")),
        ] {
            assert!(text.contains(word), "docs/{document} says nothing of {word}");
        }
    }
    assert_eq!(Scheduler::default().word(), "maglev");
}

#[test]
fn each_one_gives_every_slot_to_a_member_with_a_weight() {
    for scheduler in Scheduler::all() {
        for size in [1, 2, 61, 4099] {
            let ring = scheduler.ring(&members(WEIGHTS), size, &key());
            assert_eq!(ring.len(), size as usize, "{scheduler}");
            assert!(ring.iter().all(Option::is_some), "{scheduler}");
            assert_eq!(owned(&ring, WEIGHTS.len())[1], 0, "{scheduler}");
        }
        assert_eq!(scheduler.ring(&members([0, 0]), 3, &key()), [None; 3], "{scheduler}");
        assert_eq!(scheduler.ring(&[], 3, &key()), [None; 3], "{scheduler}");
    }
}

#[test]
fn each_one_places_by_addresses_whatever_the_order_of_lines() {
    let lines = members(WEIGHTS);
    let mut turned = lines.clone();
    turned.reverse();
    let all = [true; WEIGHTS.len()];
    for scheduler in Scheduler::all() {
        let ring = |members: &[Candidate]| -> Vec<IpAddr> {
            let ring = scheduler.ring(members, 997, &key());
            ring.into_iter().flatten().map(|owner| members[owner].address).collect()
        };
        let turns = |members: &[Candidate]| -> Option<Vec<IpAddr>> {
            let turns = scheduler.turns(members, &all)?;
            Some(turns.into_iter().map(|turn| members[turn].address).collect())
        };
        assert_eq!((ring(&lines), turns(&lines)), (ring(&turned), turns(&turned)), "{scheduler}");
    }
}

#[test]
fn each_one_gives_turns_to_eligible_members_alone_or_has_none() {
    let eligible = [true, true, false, true, true];
    for scheduler in Scheduler::all() {
        let turns = scheduler.turns(&members(WEIGHTS), &eligible);
        assert_eq!(turns.is_some(), scheduler.tracks_every_flow(), "{scheduler}");
        let Some(turns) = turns else { continue };
        let mut counts = BTreeMap::new();
        turns.iter().for_each(|turn| *counts.entry(*turn).or_insert(0) += 1);
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [0, 3, 4], "{scheduler}: {counts:?}");
        let most = scheduler.turns(&members(vec![7; 5000]), &[true; 5000]).expect("turns");
        assert!((1..=MAX_TURNS as usize).contains(&most.len()), "{scheduler}");
        let nobody = scheduler.turns(&members(WEIGHTS), &[false; WEIGHTS.len()]);
        assert_eq!(nobody, Some(Vec::new()), "{scheduler}");
    }
}
