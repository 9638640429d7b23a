//! Where changes are told, and who hears of them. A listener that is slow keeps nobody waiting: it misses some, and is told
//! how many.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::broadcast;

use super::protocol::{Event, News};

/// Changes that are kept for each listener.
const KEPT: usize = 256;

/// The controller's end of it.
#[derive(Debug)]
pub struct Herald(broadcast::Sender<Event>);

impl Herald {
    /// A herald, and its first listener.
    #[must_use]
    pub fn new() -> (Self, broadcast::Receiver<Event>) {
        let (herald, listener) = broadcast::channel(KEPT);
        (Self(herald), listener)
    }

    /// Tells of a change whoever listens.
    pub fn tell(&self, news: News, words: impl Into<String>) {
        // Without a listener there is nobody to be told.
        let _ = self.0.send(Event { unix_ms: now(), news, words: words.into() });
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
