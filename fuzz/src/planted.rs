//! A mistake to be found: `cargo xtask fuzz --planted` proves with it that the fuzzer finds what the properties forbid.

use std::{env, hint::black_box, sync::LazyLock};

use vip_common::{
    Action, Frame as _, MemberId,
    host::{HostFrame, HostTables},
};

/// Set in the environment, the decision makes the mistake.
const VARIABLE: &str = "VIP_FUZZ_PLANTED";

static PLANTED: LazyLock<bool> = LazyLock::new(|| env::var_os(VARIABLE).is_some());

/// Class, identification, TTL and source port in an IPv4 packet without options: all even in the packet cases. That all
/// are odd at once happens only to who keeps each step on the way there.
const ODD: [usize; 6] = [15, 18, 19, 22, 34, 35];

/// The decision; with the mistake, it also rewrites the payload of a forwarded packet whose bytes are [`ODD`].
pub(crate) fn direct(frame: &mut HostFrame, tables: &HostTables) -> Action {
    let action = vip_common::direct(frame, tables);
    // One step after the other, each a branch of its own.
    let odd = |at: usize| black_box(frame.bytes.get(at).is_some_and(|byte| byte % 2 == 1));
    if *PLANTED && action.member != MemberId::NOBODY && ODD.into_iter().all(odd) {
        let last = frame.len() - 1;
        frame.bytes[last] ^= 1;
    }
    action
}
