//! Ethernet padding travels along and is never payload: whatever it holds, a packet gets the same.

use vip_common::{Action, MemberId, Verb, host::HostFrame};

use super::{ensure, view::View};

/// The same frame with other padding, if it has any.
#[must_use]
pub fn other_padding(frame: &[u8]) -> Option<Vec<u8>> {
    let end = packet_end(frame)?;
    let mut other = frame.to_vec();
    other[end..].iter_mut().for_each(|byte| *byte = !*byte);
    Some(other)
}

/// Compares what a frame got with what [`other_padding`] of it got.
///
/// # Errors
/// Padding made a difference.
pub fn same_but_padding(
    before: &HostFrame,
    after: &HostFrame,
    action: Action,
    other_action: Action,
    other_after: &HostFrame,
) -> Result<(), String> {
    let stays = |action: Action| matches!(action.verb, Verb::Pass | Verb::Drop);
    if stays(action) && stays(other_action) {
        // Why a packet is refused whose own length cuts it off may depend on what lies behind it; not whether it is.
        return Ok(());
    }
    ensure(action == other_action, || format!("with other padding: {other_action:?}"))?;
    let padding = packet_end(&before.bytes).map_or(0, |end| before.bytes.len() - end);
    let (one, other) = (&after.bytes, &other_after.bytes);
    ensure(one.len() == other.len(), || "padding decides the length".into())?;
    // An answer may have cut the padding off.
    let is_cut = action.member == MemberId::NOBODY && one.len() < before.bytes.len();
    let end = if is_cut { one.len() } else { one.len() - padding };
    ensure(one[..end] == other[..end], || "with other padding the packet is rewritten otherwise".into())
}

/// Where the IP packet ends and padding starts, if the frame is whole and has some.
fn packet_end(frame: &[u8]) -> Option<usize> {
    let view = View::of(frame)?;
    let len = view.packet_len()?;
    let end = view.network_at + len;
    let least = if view.is_ipv4() { view.ipv4_header_len().max(20) } else { 40 };
    (len >= least && end < frame.len()).then_some(end)
}
