//! Whose turn it is to be asked, and who has fallen silent. Pure: time is an argument, and nothing is sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use crate::model::Mac;

/// Time between two questions to a neighbour that answers.
const CALM: Duration = Duration::from_millis(300);
/// Time that an answer has before the next question: on a link it takes less than a millisecond.
const PATIENCE: Duration = Duration::from_millis(100);
/// So many questions in a row go unanswered before somebody is silent: `CALM + MISSES × PATIENCE` after the last answer.
const MISSES: u32 = 4;
/// Of these, the last ones go to all on the link: somebody else may have the address by now, with another MAC.
const TO_ALL: u32 = 2;
/// Time between two questions to a neighbour that is silent.
const SILENCE: Duration = Duration::from_millis(200);
/// Of these, every so many goes to all.
const SELDOM: u32 = 5;
/// Questions that go out at once: after a pause all are due, and the answers to all would find no room.
const AT_ONCE: usize = 64;

/// Where a neighbour was last, and who asks for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::net) struct Target {
    /// The interface that leads to it.
    pub(in crate::net) ifindex: u32,
    /// Its MAC.
    pub(in crate::net) mac: Mac,
    /// The interface's own MAC.
    pub(in crate::net) own_mac: Mac,
    /// An address of this box that it is reached from.
    pub(in crate::net) own: IpAddr,
}

/// A question to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Question {
    pub(super) address: IpAddr,
    pub(super) target: Target,
    /// It goes to all on the link, not to the target's MAC alone.
    pub(super) to_all: bool,
}

/// A neighbour has fallen silent, or answers again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::net) struct Finding {
    pub(in crate::net) address: IpAddr,
    /// As it was when it was asked.
    pub(in crate::net) target: Target,
    pub(in crate::net) is_silent: bool,
}

#[derive(Debug)]
struct Turn {
    target: Target,
    due: Duration,
    /// When the first of the questions went out that are not answered.
    open_since: Option<Duration>,
    /// Questions in a row that were not answered in time.
    missed: u32,
    /// Before the last of them went out, somebody else on the link had answered since the first.
    link_works: bool,
    is_silent: bool,
    /// It has answered since it is asked there.
    has_answered: bool,
}

/// All neighbours that are asked.
#[derive(Default, Debug)]
pub(super) struct Turns {
    turns: BTreeMap<IpAddr, Turn>,
    queue: BTreeSet<(Duration, IpAddr)>,
    /// When anybody answered last, by interface.
    answered: BTreeMap<u32, Duration>,
}

impl Turns {
    /// From `now` on a neighbour is asked there, or not at all. It counts as one that answers.
    pub(super) fn set(&mut self, address: IpAddr, target: Option<Target>, now: Duration) {
        if let Some(before) = self.turns.remove(&address) {
            self.queue.remove(&(before.due, address));
        }
        if let Some(target) = target {
            let due = now + offset(address);
            let turn = Turn {
                target,
                due,
                open_since: None,
                missed: 0,
                link_works: false,
                is_silent: false,
                has_answered: false,
            };
            self.turns.insert(address, turn);
            self.queue.insert((due, address));
        }
    }

    /// When somebody's turn is next.
    pub(super) fn next(&self) -> Option<Duration> {
        self.queue.first().map(|(due, _)| *due)
    }

    /// True if anybody is reached by that interface.
    pub(super) fn uses(&self, ifindex: u32) -> bool {
        self.turns.values().any(|turn| turn.target.ifindex == ifindex)
    }

    /// Somebody has answered for an address. Only the MAC that packets go to counts. The first answer is told as well: what
    /// was found of earlier turns may be heard later than these began.
    pub(super) fn answered(
        &mut self,
        ifindex: u32,
        address: IpAddr,
        mac: Mac,
        now: Duration,
    ) -> Option<Finding> {
        let turn = self.turns.get_mut(&address)?;
        if (turn.target.ifindex, turn.target.mac) != (ifindex, mac) {
            return None;
        }
        self.answered.insert(ifindex, now);
        self.queue.remove(&(turn.due, address));
        turn.due = now + CALM;
        self.queue.insert((turn.due, address));
        (turn.open_since, turn.missed, turn.link_works) = (None, 0, false);
        let is_known = std::mem::replace(&mut turn.has_answered, true);
        let was_silent = std::mem::take(&mut turn.is_silent);
        (was_silent || !is_known).then_some(Finding { address, target: turn.target, is_silent: false })
    }

    /// The question to a neighbour could not be sent: that nobody answers says nothing.
    pub(super) fn excuse(&mut self, address: IpAddr) {
        if let Some(turn) = self.turns.get_mut(&address) {
            (turn.open_since, turn.missed, turn.link_works) = (None, 0, false);
        }
    }

    /// The questions that are due, so many at once, and who has not answered for too long.
    pub(super) fn take(&mut self, now: Duration) -> (Vec<Question>, Vec<Finding>) {
        let (mut questions, mut findings) = (Vec::new(), Vec::new());
        while let Some((due, address)) = self.queue.first().copied().filter(|(due, _)| *due <= now) {
            if questions.len() == AT_ONCE {
                break;
            }
            self.queue.remove(&(due, address));
            let is_alone = self.is_alone(address);
            let Some(turn) = self.turns.get_mut(&address) else { continue };
            let open_since = *turn.open_since.get_or_insert(now);
            turn.missed += u32::from(open_since < now);
            // Where nobody answers, the fault is likelier on this side: then it is for checks to say.
            if turn.missed >= MISSES && !turn.is_silent && (is_alone || turn.link_works) {
                turn.is_silent = true;
                findings.push(Finding { address, target: turn.target, is_silent: true });
            }
            let answered = self.answered.get(&turn.target.ifindex);
            turn.link_works = answered.is_some_and(|answered| *answered >= open_since);
            turn.due = now + if turn.is_silent { SILENCE } else { PATIENCE };
            self.queue.insert((turn.due, address));
            let to_all = match turn.missed {
                missed if missed < MISSES => missed >= MISSES - TO_ALL,
                missed => missed.is_multiple_of(SELDOM),
            };
            questions.push(Question { address, target: turn.target, to_all });
        }
        (questions, findings)
    }

    /// True if nobody else that answers is reached by the same interface.
    fn is_alone(&self, address: IpAddr) -> bool {
        let is_in_question = |turn: &&Turn| turn.missed + 1 >= MISSES && !turn.is_silent;
        let Some(turn) = self.turns.get(&address).filter(is_in_question) else { return false };
        let its = turn.target;
        let mut others = self.turns.iter().filter(|(other, turn)| {
            **other != address && turn.target.ifindex == its.ifindex && turn.target.mac != its.mac
        });
        others.all(|(_, turn)| turn.is_silent)
    }
}

/// Neighbours have their turns one after the other.
fn offset(address: IpAddr) -> Duration {
    let last = match address {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(v6) => v6.octets()[15],
    };
    CALM * u32::from(last) / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is promised of a neighbour that fails.
    const PROMISE: Duration = Duration::from_secs(1);

    fn target(last: u8) -> Target {
        let own = IpAddr::from([10, 0, 0, 1]);
        Target { ifindex: 7, mac: Mac([2, 0, 0, 0, 0, last]), own_mac: Mac([2, 0, 0, 0, 1, 1]), own }
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// A link with neighbours, some of which answer at once.
    struct Link {
        turns: Turns,
        now: Duration,
        asked: Vec<(Duration, Question)>,
        found: Vec<(Duration, IpAddr, bool)>,
        told: BTreeSet<IpAddr>,
    }

    impl Link {
        fn with(neighbours: &[u8]) -> Self {
            let mut turns = Turns::default();
            for last in neighbours {
                turns.set(address(*last), Some(target(*last)), Duration::ZERO);
            }
            let (asked, found, told) = (Vec::new(), Vec::new(), BTreeSet::new());
            Self { turns, now: Duration::ZERO, asked, found, told }
        }

        /// Time goes on for `time`, while those of `alive` answer.
        fn go_on(&mut self, time: Duration, alive: &[u8]) {
            let end = self.now + time;
            while let Some(due) = self.turns.next().filter(|due| *due <= end) {
                self.now = due;
                let (questions, findings) = self.turns.take(due);
                let mut news = findings;
                for question in questions {
                    self.asked.push((due, question));
                    if alive.iter().any(|last| address(*last) == question.address) {
                        let mac = question.target.mac;
                        news.extend(self.turns.answered(7, question.address, mac, due));
                    }
                }
                for Finding { address, is_silent, .. } in news {
                    // That nobody is silent is no news in the beginning.
                    if is_silent {
                        self.told.insert(address);
                    }
                    if self.told.contains(&address) {
                        self.found.push((due, address, is_silent));
                    }
                }
            }
            self.now = end;
        }
    }

    const A_WHILE: Duration = Duration::from_secs(10);

    #[test]
    fn who_answers_is_asked_three_times_a_second_and_by_himself() {
        let mut link = Link::with(&[5, 6]);
        link.go_on(A_WHILE, &[5, 6]);
        assert_eq!(link.found, []);
        assert!((60..=68).contains(&link.asked.len()), "{}", link.asked.len());
        assert!(link.asked.iter().all(|(_, question)| !question.to_all));
    }

    #[test]
    fn who_falls_silent_is_told_once_within_a_second_whenever_that_is() {
        for began in (0..1000).step_by(7) {
            let mut link = Link::with(&[5, 6]);
            link.go_on(A_WHILE + Duration::from_millis(began), &[5, 6]);
            let died = link.now;
            link.go_on(A_WHILE, &[6]);
            assert!(
                matches!(link.found[..], [(at, who, true)] if who == address(5) && at - died < PROMISE),
                "died at {died:?}: {:?}",
                link.found
            );
        }
    }

    #[test]
    fn who_answers_again_is_told_at_the_next_question() {
        let mut link = Link::with(&[5, 6]);
        link.go_on(A_WHILE, &[6]);
        let back = link.now;
        link.found.clear();
        link.go_on(A_WHILE, &[5, 6]);
        assert!(
            matches!(link.found[..], [(at, who, false)] if who == address(5) && at - back <= SILENCE),
            "{:?}",
            link.found
        );
    }

    #[test]
    fn a_lost_answer_or_two_are_none() {
        let mut link = Link::with(&[5, 6]);
        for _ in 0..20 {
            link.go_on(CALM * 2, &[5, 6]);
            link.go_on(PATIENCE * 2, &[6]);
        }
        assert_eq!(link.found, []);
    }

    #[test]
    fn where_all_fall_silent_at_once_nobody_is_blamed_until_one_answers() {
        let mut link = Link::with(&[5, 60, 200]);
        link.go_on(A_WHILE, &[5, 60, 200]);
        link.go_on(A_WHILE, &[]);
        assert_eq!(link.found, [], "the fault is on this side");
        link.go_on(A_WHILE, &[60]);
        let mut silent: Vec<_> = link.found.iter().map(|(_, who, is_silent)| (*who, *is_silent)).collect();
        silent.sort_unstable();
        assert_eq!(silent, [(address(5), true), (address(200), true)]);
    }

    #[test]
    fn when_the_link_comes_back_nobody_is_blamed_for_what_was_asked_before() {
        for outage in (0..3000).step_by(10) {
            let mut link = Link::with(&[5, 60, 200]);
            link.go_on(A_WHILE, &[5, 60, 200]);
            link.go_on(Duration::from_millis(outage), &[]);
            link.go_on(A_WHILE, &[5, 60, 200]);
            assert_eq!(link.found, [], "after {outage} ms");
        }
    }

    #[test]
    fn who_is_alone_on_a_link_or_the_last_one_that_answered_is_believed_to_be_silent() {
        for others in [&[][..], &[6, 7]] {
            let mut link = Link::with(&[&[5], others].concat());
            link.go_on(A_WHILE, &[5]);
            link.found.clear();
            link.go_on(A_WHILE, &[]);
            assert!(matches!(link.found[..], [(_, who, true)] if who == address(5)), "{:?}", link.found);
        }
    }

    #[test]
    fn two_addresses_of_one_machine_are_no_witnesses_for_each_other() {
        let mut link = Link::with(&[5]);
        let six: IpAddr = "fd00::5".parse().expect("an address");
        link.turns.set(six, Some(target(5)), Duration::ZERO);
        link.go_on(A_WHILE, &[5]);
        link.found.clear();
        link.go_on(A_WHILE, &[]);
        assert!(matches!(link.found[..], [(_, who, true)] if who == address(5)), "{:?}", link.found);
    }

    #[test]
    fn all_on_the_link_are_asked_before_somebody_is_given_up_and_now_and_then_later() {
        let mut link = Link::with(&[5, 6]);
        link.go_on(A_WHILE, &[6]);
        let asked = link.asked.iter().filter(|(_, question)| question.address == address(5));
        let to_all: Vec<_> = asked.map(|(_, question)| question.to_all).collect();
        assert_eq!(to_all[..6], [false, false, true, true, false, true]);
        assert!(to_all[6..].windows(5).all(|five| five.iter().filter(|all| **all).count() == 1));
    }

    #[test]
    fn after_a_pause_not_all_are_asked_at_once() {
        let all: Vec<u8> = (2..=250).collect();
        let mut link = Link::with(&all);
        link.go_on(A_WHILE, &all);
        let (questions, findings) = link.turns.take(link.now + A_WHILE);
        assert_eq!((questions.len(), findings), (AT_ONCE, Vec::new()));
        assert!(link.turns.next().is_some_and(|next| next < link.now + A_WHILE), "others are still due");
    }

    #[test]
    fn the_first_answer_is_told_whatever_was_told_before() {
        let mut turns = Turns::default();
        turns.set(address(5), Some(target(5)), Duration::ZERO);
        let mut answer = || turns.answered(7, address(5), target(5).mac, CALM);
        assert!(answer().is_some_and(|found| !found.is_silent));
        assert_eq!(answer(), None);
    }

    #[test]
    fn who_was_not_asked_is_not_blamed() {
        let mut link = Link::with(&[5]);
        for _ in 0..100 {
            link.go_on(PATIENCE, &[]);
            link.turns.excuse(address(5));
        }
        assert_eq!(link.found, []);
    }

    #[test]
    fn the_answer_of_another_mac_or_link_is_none() {
        let mut link = Link::with(&[5, 6]);
        let other = target(9).mac;
        assert_eq!(link.turns.answered(7, address(5), other, Duration::ZERO), None);
        assert_eq!(link.turns.answered(8, address(5), target(5).mac, Duration::ZERO), None);
        link.go_on(A_WHILE, &[6]);
        assert_eq!(link.turns.answered(7, address(5), other, link.now), None);
        assert_eq!(link.found.len(), 1);
        let found = link.turns.answered(7, address(5), target(5).mac, link.now);
        assert!(found.is_some_and(|found| !found.is_silent));
    }

    #[test]
    fn who_is_asked_no_more_or_elsewhere_begins_anew() {
        let mut link = Link::with(&[5, 6]);
        link.go_on(A_WHILE, &[6]);
        link.turns.set(address(5), Some(target(8)), link.now);
        (link.found, link.told) = (Vec::new(), BTreeSet::new());
        link.go_on(A_WHILE, &[5, 6]);
        assert_eq!(link.found, []);
        link.turns.set(address(5), None, link.now);
        link.turns.set(address(6), None, link.now);
        assert_eq!(link.turns.next(), None);
    }
}
