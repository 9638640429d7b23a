//! One input, from an empty director to its last frame. Decides in which order things are checked; what is checked is
//! in `properties`.

use std::fmt;

use vip_common::{
    Action, direct, full,
    host::{HostFrame, HostTables},
};

use crate::{input::decode, properties};

/// The decision did what it must not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Which frame of the input it was, from 0 on.
    pub number: usize,
    /// The frame as it came in.
    pub before: Vec<u8>,
    /// The frame as it was left.
    pub after: Vec<u8>,
    /// What was decided.
    pub action: Action,
    /// What is wrong with that.
    pub why: String,
}

/// The decision on the host: compiled here once, optimised as this package is, instead of by each that calls it.
pub fn decide(frame: &mut HostFrame, tables: &HostTables) -> Action {
    direct(frame, tables)
}

/// Runs the records of `input` through `decide`, and returns what each frame got.
///
/// # Errors
/// The first frame that got what it must not.
pub fn run(
    input: &[u8],
    decide: &dyn Fn(&mut HostFrame, &HostTables) -> Action,
) -> Result<Vec<Action>, Failure> {
    let mut tables = HostTables::default();
    let mut actions = Vec::new();
    for record in decode(input) {
        let Some(before) = record.apply(&mut tables) else { continue };
        let others = Others::of(&before, &tables);
        let mut after = before.clone();
        let action = decide(&mut after, &tables);
        let checked = properties::check(&before, &after, action, &tables)
            .and_then(|()| others.check(&before, &after, action, decide));
        if let Err(why) = checked {
            let number = actions.len();
            return Err(Failure { number, before: before.bytes, after: after.bytes, action, why });
        }
        actions.push(action);
    }
    Ok(actions)
}

/// The same director once more, for what must come to the same.
struct Others {
    full: HostTables,
    padded: Option<(HostFrame, HostTables)>,
}

impl Others {
    fn of(frame: &HostFrame, tables: &HostTables) -> Self {
        let tables = || tables.clone().with_own_flows();
        let other = properties::other_padding(&frame.bytes);
        let padded = other.map(|bytes| (HostFrame { bytes, ..frame.clone() }, tables()));
        Self { full: tables(), padded }
    }

    fn check(
        self,
        before: &HostFrame,
        after: &HostFrame,
        action: Action,
        decide: &dyn Fn(&mut HostFrame, &HostTables) -> Action,
    ) -> Result<(), String> {
        let mut fully = before.clone();
        let wanted = full(&mut fully, &self.full);
        if properties::is_whole(before, &self.full) && (wanted, &fully) != (action, after) {
            return Err(format!("the full decision is {wanted:?}, {}", hex(&fully.bytes)));
        }
        if let Some((mut other, tables)) = self.padded {
            let other_action = decide(&mut other, &tables);
            properties::same_but_padding(before, after, action, other_action, &other)?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, before, after, action, why } = self;
        writeln!(f, "frame {number} of the input: {why}")?;
        writeln!(f, "  came as  {}", hex(before))?;
        writeln!(f, "  was left {}", hex(after))?;
        write!(f, "  {action:?}")
    }
}

/// Bytes as people write them.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
