//! The only pointer arithmetic: a received frame, as the kernel hands it to an XDP program.

#![expect(unsafe_code, reason = "packet memory is reached through the kernel's pointers")]

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len},
    programs::XdpContext,
};
use bytemuck::Pod;
use vip_common::Frame;

/// The frame of one XDP run.
pub(crate) struct XdpFrame<'a> {
    context: &'a XdpContext,
    start: usize,
    end: usize,
    /// Bytes of a jumbo frame that can't be read, once that was asked.
    hidden: usize,
}

impl<'a> XdpFrame<'a> {
    /// The frame that `context` was called for.
    #[inline(always)]
    pub(crate) fn new(context: &'a XdpContext) -> Self {
        Self { context, start: context.data(), end: context.data_end(), hidden: 0 }
    }

    /// The frame's length for the counters, as far as it is known: who measures the IP packet has asked.
    #[inline(always)]
    pub(crate) fn known_len(&self) -> usize {
        self.len() + self.hidden
    }

    /// Reads the pointers anew that a helper invalidated.
    #[inline(always)]
    fn renew(&mut self) {
        self.start = self.context.data();
        self.end = self.context.data_end();
    }
}

impl Frame for XdpFrame<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.end - self.start
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "BPF has 64 bits")]
    fn whole_len(&mut self) -> usize {
        // SAFETY: the helper takes the context that the kernel passed.
        let whole = unsafe { bpf_xdp_get_buff_len(self.context.as_ptr().cast()) } as usize;
        self.hidden = whole.saturating_sub(self.len());
        whole
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: the kernel passes a valid `xdp_md`, and `context` holds it unchanged.
        unsafe { (*self.context.ctx).ingress_ifindex }
    }

    #[inline(always)]
    fn read<H: Pod>(&self, at: usize) -> Option<H> {
        let header = self.start + at;
        if header + size_of::<H>() > self.end {
            return None;
        }
        // SAFETY: the bytes up to `end` are the frame's, as just checked; any bytes are a valid `H`, and an
        // unaligned read asks for no alignment.
        Some(unsafe { (header as *const H).read_unaligned() })
    }

    #[inline(always)]
    fn write<H: Pod>(&mut self, at: usize, header: H) -> Option<()> {
        let place = self.start + at;
        if place + size_of::<H>() > self.end {
            return None;
        }
        // SAFETY: the bytes up to `end` are the frame's, as just checked, and this program's alone while it runs;
        // an unaligned write asks for no alignment.
        unsafe { (place as *mut H).write_unaligned(header) };
        Some(())
    }

    #[inline(always)]
    fn move_start(&mut self, by: i32) -> Option<()> {
        // SAFETY: the helper takes the context that the kernel passed; the pointers it invalidates are read anew.
        let result = unsafe { bpf_xdp_adjust_head(self.context.as_ptr().cast(), by) };
        self.renew();
        (result == 0).then_some(())
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a frame's length fits 17 bits")]
    fn resize(&mut self, len: usize) -> Option<()> {
        let more = len as i64 - self.known_len() as i64;
        // SAFETY: the helper takes the context that the kernel passed; the pointers it invalidates are read anew.
        let result = unsafe { bpf_xdp_adjust_tail(self.context.as_ptr().cast(), more as i32) };
        self.renew();
        self.hidden = 0;
        (result == 0).then_some(())
    }
}
