//! Which program is in the links: the director, or while somebody traces the one that tells what packets get. The swap loses
//! no packet.

use std::os::fd::BorrowedFd;

use vip_common::trace::WantedPackets;

use super::{DataplaneError, KernelDataplane, Result, largest_index, open_link};
use crate::dataplane::{
    Dataplane as _,
    tracer::{TraceCounts, TracedPackets, Tracer},
};

impl KernelDataplane {
    /// Puts the program that traces into each link, in place of the director: each packet meets one or the other, and gets
    /// the same.
    ///
    /// # Errors
    /// The kernel refuses something; then the director is in its links.
    pub fn trace(&mut self, wanted: &WantedPackets) -> Result<TracedPackets> {
        let shapes = self.pins.wanted(self.director.capacity(), largest_index()?)?.shapes;
        let (tracer, packets) = Tracer::load(&self.pins, &shapes, wanted)?;
        self.tracer = Some(tracer);
        if let Err(error) = self.replace_programs() {
            self.end_trace()?;
            return Err(error);
        }
        Ok(packets)
    }

    /// What was counted since the trace began; nothing where nobody traces.
    ///
    /// # Errors
    /// The counter can't be read.
    pub fn traced(&self) -> Result<TraceCounts> {
        self.tracer.as_ref().map_or_else(|| Ok(TraceCounts::default()), Tracer::counts)
    }

    /// Puts the director into its links again; what was counted until then.
    ///
    /// # Errors
    /// The kernel refuses it: the program that traces stays in a link, where it forwards and tells nothing.
    pub fn end_trace(&mut self) -> Result<TraceCounts> {
        let tracer = self.tracer.take();
        self.replace_programs()?;
        tracer.as_ref().map_or_else(|| Ok(TraceCounts::default()), Tracer::counts)
    }

    /// The program that is to be in the links.
    pub(super) fn program_fd(&self) -> Result<BorrowedFd<'_>> {
        self.tracer.as_ref().map_or_else(|| self.director.program_fd(), Tracer::program_fd)
    }

    /// Puts it into each of them; one that fails does not keep the others from it.
    fn replace_programs(&self) -> Result<()> {
        let program = self.program_fd()?;
        let mut result = Ok(());
        for ifindex in self.pins.links()? {
            let path = self.pins.link(ifindex);
            let Some((link, _)) = open_link(&path)?.filter(|(_, info)| info.ifindex != 0) else { continue };
            let what = format!("replace the program of the link {}", path.display());
            result = result.and(link.replace_program(program).map_err(DataplaneError::io(what)));
        }
        result
    }
}
