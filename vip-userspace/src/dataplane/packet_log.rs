//! What the program says of packets, line by line, where it was loaded to say it.

use std::{convert::Infallible, io};

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};
use tokio::io::{Interest, unix::AsyncFd};

use super::error::DataplaneError;

/// The program's log.
pub struct PacketLog(EbpfLogger<Lines>);

/// Hands each record to a function.
struct Lines(Box<dyn Fn(&str) + Send + Sync>);

impl Log for Lines {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        (self.0)(&record.args().to_string());
    }

    fn flush(&self) {}
}

impl PacketLog {
    pub(super) fn new(
        ebpf: &mut Ebpf,
        line: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, DataplaneError> {
        let logger = EbpfLogger::init_with_logger(ebpf, Lines(Box::new(line)));
        logger.map(Self).map_err(DataplaneError::aya("open the log of packets"))
    }

    /// Hands over lines for ever. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// The log can't be waited for.
    pub async fn run(self) -> io::Result<Infallible> {
        #[expect(
            deprecated,
            reason = "the descriptor is the log's own: it stays open as long as it is waited for"
        )]
        let mut log = AsyncFd::with_interest(self.0, Interest::READABLE)?;
        loop {
            let mut ready = log.readable_mut().await?;
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    }
}
