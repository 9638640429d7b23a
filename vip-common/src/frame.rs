//! How the decision sees one packet: bytes behind a bounds check.

use bytemuck::Pod;

/// One received Ethernet frame, from its destination MAC on.
///
/// Every access is checked against the frame's end. Types are [`Pod`] with an alignment of 1, so that any
/// offset will do.
pub trait Frame {
    /// Length of the part that can be read, in bytes, with Ethernet padding, without a frame check sequence. Only of a
    /// jumbo frame it is not all.
    fn len(&self) -> usize;

    /// Length of the frame, in bytes, also of a part that can't be read. Costs a call: ask [`len`](Frame::len) first.
    fn whole_len(&mut self) -> usize;

    /// True for a frame without a byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kernel's index of the interface it came in by.
    fn ingress(&self) -> u32;

    /// The header at `at` bytes from the start; `None` if it reaches past the end.
    fn read<H: Pod>(&self, at: usize) -> Option<H>;

    /// Puts `header` at `at` bytes from the start; `None`, and nothing written, if it reaches past the end.
    fn write<H: Pod>(&mut self, at: usize, header: H) -> Option<()>;

    /// Moves the frame's start by so many bytes: forward to cut bytes off, backward to make room, whose bytes have no
    /// particular value. `None` if there is no room.
    fn move_start(&mut self, by: i32) -> Option<()>;

    /// Cuts the frame off, or lets it grow, at its end; `None` if there is no room. New bytes are zero.
    fn resize(&mut self, len: usize) -> Option<()>;
}
