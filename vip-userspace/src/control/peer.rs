//! Who is at the other end of a connection, as the kernel tells it.

use std::fs;

use tokio::net::UnixStream;

use super::protocol::{Caller, Peer};

/// The other end of a connection; `None` if the kernel does not say, and then nothing is permitted.
pub(super) fn peer(stream: &UnixStream) -> Option<Peer> {
    let credentials = stream.peer_cred().ok()?;
    let (uid, pid) = (credentials.uid(), credentials.pid().and_then(|pid| u32::try_from(pid).ok()));
    // 0 stands for a process that can't be seen from here.
    let pid = pid.filter(|pid| *pid != 0);
    let mut groups = pid.map_or_else(Vec::new, |pid| further_groups(pid, uid));
    groups.push(credentials.gid());
    Some(Peer { caller: Caller { uid, pid }, groups })
}

/// The further groups of a process. They count only while the process is altogether that user's: not if it has become
/// another's, whose groups they would be, nor if the id is another user's process by now.
fn further_groups(pid: u32, uid: u32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    groups_in(&status, uid)
}

/// Reads `Uid:` and `Groups:` of proc_pid_status(5).
fn groups_in(status: &str, uid: u32) -> Vec<u32> {
    let numbers = |field: &str| -> Vec<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.unwrap_or_default().split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    if numbers("Uid:") == [uid; 4] { numbers("Groups:") } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_other_end_is_this_very_process() {
        let (one, _other) = UnixStream::pair().expect("a pair");
        let peer = peer(&one).expect("a peer");
        assert_eq!(peer.caller.uid, rustix::process::geteuid().as_raw());
        assert_eq!(peer.caller.pid, Some(std::process::id()));
        assert!(peer.groups.contains(&rustix::process::getegid().as_raw()));
    }

    #[test]
    fn groups_count_only_of_a_process_that_is_altogether_that_users() {
        let status = "Name:\tcat\nUid:\t1000\t1000\t1000\t1000\nGid:\t5\t5\t5\t5\nGroups:\t27 70 \n";
        assert_eq!(groups_in(status, 1000), [27, 70]);
        assert_eq!(groups_in(status, 1001), [0; 0]);
        assert_eq!(groups_in(&status.replacen("1000\t1000", "1000\t0", 1), 1000), [0; 0]);
        assert_eq!(groups_in("", 1000), [0; 0]);
    }
}
