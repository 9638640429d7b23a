//! Frames and tables in memory: the decision without a kernel.

use std::vec::Vec;

use bytemuck::Pod;

use crate::Frame;

mod tables;

pub use tables::{HostTables, SharedFlow};

/// A frame in a vector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostFrame {
    /// The frame's bytes, from the destination MAC on.
    pub bytes: Vec<u8>,
    /// Interface index of the port it came in by.
    pub ingress: u32,
    /// So many bytes it may grow by at its start.
    pub headroom: usize,
}

impl HostFrame {
    /// A frame of `bytes` that came in by the port with index `ingress`, with all the room that it may want.
    #[must_use]
    pub fn new(bytes: &[u8], ingress: u32) -> Self {
        Self { bytes: bytes.to_vec(), ingress, headroom: usize::MAX }
    }

    /// The same where the driver left no room in front of it.
    #[must_use]
    pub fn without_headroom(self) -> Self {
        Self { headroom: 0, ..self }
    }
}

impl Frame for HostFrame {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn whole_len(&mut self) -> usize {
        self.bytes.len()
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }

    fn read<H: Pod>(&self, at: usize) -> Option<H> {
        let end = at.checked_add(size_of::<H>())?;
        self.bytes.get(at..end).map(bytemuck::pod_read_unaligned)
    }

    fn write<H: Pod>(&mut self, at: usize, header: H) -> Option<()> {
        let end = at.checked_add(size_of::<H>())?;
        self.bytes.get_mut(at..end)?.copy_from_slice(bytemuck::bytes_of(&header));
        Some(())
    }

    fn move_start(&mut self, by: i32) -> Option<()> {
        let count = usize::try_from(by.unsigned_abs()).ok()?;
        if by < 0 {
            self.headroom = self.headroom.checked_sub(count)?;
            self.bytes.splice(..0, std::iter::repeat_n(0, count));
        } else if count <= self.bytes.len() {
            self.headroom = self.headroom.saturating_add(count);
            self.bytes.drain(..count);
        } else {
            return None;
        }
        Some(())
    }

    fn resize(&mut self, len: usize) -> Option<()> {
        self.bytes.resize(len, 0);
        Some(())
    }
}
