//! The steps of the full decision about an IP packet, and the flow table's part in both decisions, each a global function.

#![expect(unsafe_code, reason = "only what has a name for others is a global function; they take pointers")]

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use vip_common::{
    Case, Found, Frame as _, Place, Reason, Row, V4, V6, found, placed,
    steps::{self, Inline, Steps, take},
    tables::{FlowId4, FlowId6, Service},
};

use crate::{finish, frame::XdpFrame, maps::KernelTables};

/// The way to the steps: the packet's context.
struct Calls(*mut xdp_md);

/// Rows as the words that functions return.
fn row(word: u32) -> Row {
    [Row::Gets, Row::To, Row::Refused, Row::Error, Row::Echo, Row::Read, Row::Extended]
        .into_iter()
        .find(|row| *row as u32 == word)
        .unwrap_or(Row::Gets)
}

/// Defines one step that needs the frame.
macro_rules! step {
    (
        $name:ident($context:ident, $case:ident: $type:ty $(, $more:ident: $more_type:ty)?) -> $result:ty,
        |$frame:ident| $body:block
    ) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name($context: *mut xdp_md, $case: *mut $type $(, $more: $more_type)?) -> $result {
            // SAFETY: the caller's case lives on its stack, and nobody else has it; the kernel checks it to be as long, or
            // null.
            let Some($case) = (unsafe { $case.as_mut() }) else { return 0 };
            let context = XdpContext::new($context);
            let $frame = &mut XdpFrame::new(&context);
            $body
        }
    };
}

/// Defines the steps of a family, under these names, and the function that takes them.
macro_rules! steps {
    (
        $family:ident, $address:ty, $whole:ident, $read:ident, $look_behind:ident, $transport:ident, $answer_echo:ident,
        $read_quoted:ident, $follow_first:ident, $row:ident, $owner:ident, $hand_over:ident,
        $remember_first:ident, $reset:ident
    ) => {
        impl Steps<$family> for Calls {
            #[inline(always)]
            fn row(&mut self, case: &mut Case<$address>) -> Row {
                row($row(self.0, case))
            }

            #[inline(always)]
            fn read(&mut self, case: &mut Case<$address>) -> Row {
                row($read(self.0, case))
            }

            #[inline(always)]
            fn look_behind(&mut self, case: &mut Case<$address>) -> Row {
                row($look_behind(self.0, case))
            }

            #[inline(always)]
            fn read_transport(&mut self, case: &mut Case<$address>) -> Row {
                row($transport(self.0, case))
            }

            #[inline(always)]
            fn answer_echo(&mut self, case: &mut Case<$address>) -> Row {
                row($answer_echo(self.0, case))
            }

            #[inline(always)]
            fn read_quoted(&mut self, case: &mut Case<$address>) -> bool {
                $read_quoted(self.0, case) != 0
            }

            #[inline(always)]
            fn follow_first(&mut self, case: &mut Case<$address>) -> bool {
                $follow_first(self.0, case) != 0
            }

            #[inline(always)]
            fn owner(&mut self, case: &Case<$address>) -> u64 {
                $owner(case)
            }

            #[inline(always)]
            fn hand_over(&mut self, case: &mut Case<$address>, owner: u64) -> bool {
                $hand_over(self.0, case, owner) != 0
            }

            #[inline(always)]
            fn remember_first(&mut self, case: &Case<$address>) -> bool {
                $remember_first(case) != 0
            }

            #[inline(always)]
            fn reset(&mut self, case: &Case<$address>, reason: Reason) -> Reason {
                Reason::numbered($reset(self.0, (&raw const *case).cast_mut(), reason as u32))
            }
        }

        /// The full decision about an IP packet of this family.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub(crate) extern "C" fn $whole(context: *mut xdp_md) -> u32 {
            let action = take::<$family, _>(&mut Calls(context));
            let context = XdpContext::new(context);
            let len = XdpFrame::new(&context).whole_len();
            finish(len, &action)
        }

        step!($row(context, case: Case<$address>) -> u32, |frame| {
            Steps::<$family>::row(&mut Inline { frame, tables: &KernelTables }, case) as u32
        });
        step!($read(context, case: Case<$address>) -> u32, |frame| {
            Steps::<$family>::read(&mut Inline { frame, tables: &KernelTables }, case) as u32
        });
        step!($look_behind(context, case: Case<$address>) -> u32, |frame| {
            Steps::<$family>::look_behind(&mut Inline { frame, tables: &KernelTables }, case) as u32
        });
        step!($transport(context, case: Case<$address>) -> u32, |frame| {
            Steps::<$family>::read_transport(&mut Inline { frame, tables: &KernelTables }, case) as u32
        });
        step!($answer_echo(context, case: Case<$address>) -> u32, |frame| {
            Steps::<$family>::answer_echo(&mut Inline { frame, tables: &KernelTables }, case) as u32
        });
        step!($read_quoted(context, case: Case<$address>) -> u32, |frame| {
            u32::from(Steps::<$family>::read_quoted(&mut Inline { frame, tables: &KernelTables }, case))
        });
        step!($follow_first(context, case: Case<$address>) -> u32, |frame| {
            u32::from(Steps::<$family>::follow_first(&mut Inline { frame, tables: &KernelTables }, case))
        });
        step!($hand_over(context, case: Case<$address>, owner: u64) -> u32, |frame| {
            u32::from(Steps::<$family>::hand_over(&mut Inline { frame, tables: &KernelTables }, case, owner))
        });
        step!($reset(context, case: Case<$address>, reason: u32) -> u32, |frame| {
            let reason = Reason::numbered(reason);
            Steps::<$family>::reset(&mut Inline { frame, tables: &KernelTables }, case, reason) as u32
        });

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $owner(case: *const Case<$address>) -> u64 {
            // SAFETY: the caller's case lives on its stack; the kernel checks it to be as long, or null.
            let Some(case) = (unsafe { case.as_ref() }) else { return 0 };
            steps::owner::<$family, _>(&KernelTables, case)
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $remember_first(case: *const Case<$address>) -> u32 {
            // SAFETY: the caller's case lives on its stack; the kernel checks it to be as long, or null.
            let Some(case) = (unsafe { case.as_ref() }) else { return 0 };
            u32::from(steps::remember_first::<$family, _>(&KernelTables, case))
        }
    };
}

/// Defines one of the flow table's parts of a family, under this name.
macro_rules! flows {
    ($name:ident($flow_id:ty $(, $more:ident)?), $lost:expr, |$service:ident, $id:ident, $place:ident| $body:expr) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub(crate) extern "C" fn $name(
            $service: *const Service,
            $id: *const $flow_id,
            $place: *const Place,
            $($more: u64)?
        ) -> u64 {
            // SAFETY: the caller's place and id live on its stack, and its service there or in a map; the kernel checks them to
            // be as long, or null.
            match unsafe { ($service.as_ref(), $id.as_ref(), $place.as_ref()) } {
                (Some($service), Some(id), Some($place)) => {
                    // Before Linux 6.2 a key for a map must be on the stack of who asks.
                    let $id = &{ *id };
                    $body
                }
                _ => $lost,
            }
        }
    };
}

flows!(director_found4(FlowId4), Found::LOST.0, |service, id, place| {
    found::<V4, _>(&KernelTables, service, id, place).0
});
flows!(director_found6(FlowId6), Found::LOST.0, |service, id, place| {
    found::<V6, _>(&KernelTables, service, id, place).0
});
flows!(director_placed4(FlowId4, before), Found::LOST.0, |service, id, place| {
    placed::<V4, _>(&KernelTables, service, id, place, Found(before))
});
flows!(director_placed6(FlowId6, before), Found::LOST.0, |service, id, place| {
    placed::<V6, _>(&KernelTables, service, id, place, Found(before))
});

steps!(
    V4,
    [u8; 4],
    director_ip4,
    director_read4,
    director_behind4,
    director_transport4,
    director_echo4,
    director_quoted4,
    director_follow4,
    director_row4,
    director_owner4,
    director_hand_over4,
    director_first4,
    director_reset4
);
steps!(
    V6,
    [u8; 16],
    director_ip6,
    director_read6,
    director_behind6,
    director_transport6,
    director_echo6,
    director_quoted6,
    director_follow6,
    director_row6,
    director_owner6,
    director_hand_over6,
    director_first6,
    director_reset6
);
