//! The program by itself: what the verifier and the log say of it.

use std::{sync::mpsc, time::Duration};

use vip_userspace::dataplane::Director;

use super::harness::{CAPACITY, test_run};

/// Bounds on the instructions that the verifier processes, of the 1,000,000 that it allows: older kernels process more of
/// the same program.
const MOST: u32 = 100_000;
/// With packet logs, which tell each reason by its name.
const MOST_WITH_LOGS: u32 = 200_000;

#[test]
fn the_verifier_is_content_with_the_director_and_the_sweeper() {
    for (logs, most) in [(false, MOST), (true, MOST_WITH_LOGS)] {
        let loaded = Director::load(CAPACITY, logs).expect("load");
        let director = loaded.program().expect("the director").info().expect("its info");
        let sweeper = loaded.sweeper().expect("the sweeper").info().expect("its info");
        for (name, info, most) in [("director", director, most), ("sweeper", sweeper, MOST)] {
            let instructions = info.verified_instruction_count().expect("a count");
            let what = format!("the verifier processed {instructions} instructions of the {name}");
            #[expect(clippy::print_stdout, reason = "the count is worth knowing when it is fine, too")]
            {
                println!("{what}, at most {most} (packet logs: {logs})");
            }
            assert!((1..=most).contains(&instructions), "{what}, at most {most} (packet logs: {logs})");
        }
    }
}

#[test]
fn packets_are_logged_if_asked_for() {
    let mut director = Director::load(CAPACITY, true).expect("load");
    let (send, lines) = mpsc::channel();
    let log = director.packet_log(move |line| drop(send.send(line.to_owned()))).expect("open the log");
    assert!(director.packet_log(|_| ()).is_err(), "the log is given once");
    test_run(&director, &[0; 60]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let line = runtime.block_on(async {
        let log = log.run();
        tokio::pin!(log);
        for _ in 0..6000 {
            let ended = tokio::time::timeout(Duration::from_millis(10), &mut log).await;
            assert!(ended.is_err(), "the log ended: {ended:?}");
            if let Ok(line) = lines.try_recv() {
                return line;
            }
        }
        panic!("no line within a minute");
    });
    assert_eq!(line, "not-for-us to member 0");
}
