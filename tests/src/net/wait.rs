//! Waiting for something to become true. No test sleeps for a guessed time.

use std::{
    env,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(2);
/// How many times longer than usual everything may take, if that is not once: an emulated machine is slow.
const SLOWNESS: &str = "VIP_TEST_SLOWNESS";

/// How many times longer than on a machine for tests everything may take on this one.
fn slowness() -> u32 {
    static SLOWNESS_HERE: LazyLock<u32> =
        LazyLock::new(|| env::var(SLOWNESS).ok().and_then(|text| text.parse().ok()).unwrap_or(1));
    *SLOWNESS_HERE
}

/// So long on a machine for tests: as much longer as this one is slower.
#[must_use]
pub fn scaled(time: Duration) -> Duration {
    time * slowness()
}

/// Looks at `condition` every 2 ms until it holds, and says how long that took. A slow machine gets more time.
///
/// # Errors
/// It does not hold `within` that time; `what` was waited for.
pub fn wait_for(what: &str, within: Duration, mut condition: impl FnMut() -> bool) -> Result<Duration> {
    let within = scaled(within);
    let start = Instant::now();
    while !condition() {
        ensure!(start.elapsed() < within, "waited {within:?} in vain for {what}");
        thread::sleep(POLL);
    }
    Ok(start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_ends_in_vain_says_what_for() {
        let error = wait_for("Godot", Duration::from_millis(5), || false).unwrap_err();
        assert!(error.to_string().contains("Godot"), "{error}");
    }

    #[test]
    fn a_wait_ends_when_the_condition_holds() {
        let mut looks = 0;
        wait_for("the third look", Duration::from_secs(5), || {
            looks += 1;
            looks == 3
        })
        .unwrap();
        assert_eq!(looks, 3);
    }
}
