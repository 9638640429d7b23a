//! The program by itself: what the verifier and the log say of it.

use std::{sync::mpsc, time::Duration};

use vip_userspace::dataplane::Director;

use super::harness::{CAPACITY, test_run};

#[test]
fn the_verifier_is_content_with_and_without_packet_logs() {
    for (logs, most) in [(false, 100_000), (true, 1_000_000)] {
        let director = Director::load(CAPACITY, logs).expect("load");
        let info = director.program().expect("the program").info().expect("its info");
        let instructions = info.verified_instruction_count().expect("a count");
        #[expect(clippy::print_stdout, reason = "the count is worth knowing when it is fine, too")]
        {
            println!("the verifier processed {instructions} instructions (packet logs: {logs})");
        }
        assert!(instructions <= most, "{instructions} instructions (packet logs: {logs})");
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
        for _ in 0..1000 {
            let ended = tokio::time::timeout(Duration::from_millis(10), &mut log).await;
            assert!(ended.is_err(), "the log ended: {ended:?}");
            if let Ok(line) = lines.try_recv() {
                return line;
            }
        }
        panic!("no line within 10 s");
    });
    assert_eq!(line, "not-for-us to member 0");
}
