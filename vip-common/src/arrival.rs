//! The link layer of a frame: by which port it came, whether it is meant for us, and its VLAN tags.

use crate::{
    Frame, Tables,
    headers::{ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN, Ethernet, Mac, Vlan},
    tables::{Egress, Port},
};

/// Where the first tag's EtherType, or the packet's, stands.
const ETHERTYPE: usize = 12;

/// A frame that came in by one of the director's ports.
pub(crate) struct Arrival {
    pub(crate) port: Port,
    /// It is addressed to the port.
    pub(crate) ours: bool,
    /// It is addressed to the port, or to many: questions are asked of everybody.
    pub(crate) asks: bool,
    pub(crate) source: Mac,
    /// EtherType behind the tags.
    pub(crate) ethertype: [u8; 2],
    /// Where the network header starts: behind the tags.
    pub(crate) network: usize,
    /// Number of tags, 0 to 2.
    tags: u8,
    /// EtherType and control of each tag, outermost first.
    tag: [[u8; 4]; 2],
}

impl Arrival {
    /// Reads the link layer; `None` if the interface is no port, or the header is cut short.
    #[inline(always)]
    pub(crate) fn of<F: Frame, T: Tables>(frame: &F, tables: &T) -> Option<Self> {
        let ethernet = frame.read::<Ethernet>(0)?;
        let port = tables.port(frame.ingress())?;
        let ours = port.owns(ethernet.destination);
        let mut arrival = Self {
            port,
            ours,
            asks: ours || ethernet.destination[0] & 1 != 0,
            source: ethernet.source,
            ethertype: ethernet.ethertype,
            network: size_of::<Ethernet>(),
            tags: 0,
            tag: [[0; 4]; 2],
        };
        for at in 0..2 {
            let [high, low] = arrival.ethertype;
            if ![ETHERTYPE_VLAN, ETHERTYPE_SERVICE_VLAN].contains(&arrival.ethertype) {
                break;
            }
            let vlan = frame.read::<Vlan>(arrival.network)?;
            let [priority, id] = vlan.control;
            arrival.tag[at] = [high, low, priority, id];
            arrival.tags += 1;
            arrival.network += size_of::<Vlan>();
            arrival.ethertype = vlan.ethertype;
        }
        Some(arrival)
    }

    /// Addresses the frame to `destination`, by a way out with its VLAN tags; `None` if there is no room for these.
    ///
    /// Priority and drop eligibility of the outermost tag are kept, whatever becomes of its id. New tags are 802.1Q, an
    /// outer one of two 802.1ad (IEEE 802.1Q-2018, section 9.5); one that replaces another keeps its EtherType.
    #[inline(always)]
    pub(crate) fn send<F: Frame>(&self, frame: &mut F, destination: Mac, egress: &Egress) -> Option<()> {
        if egress.tags == Egress::AS_IT_CAME || (egress.tags == 0 && self.tags == 0) {
            return frame.write(0, [destination, egress.mac]);
        }
        let wanted = egress.tags.min(2);
        let moved = 4 * (i32::from(self.tags) - i32::from(wanted));
        if moved != 0 {
            frame.move_start(moved)?;
        }
        frame.write(0, [destination, egress.mac])?;
        let priority = if self.tags == 0 { 0 } else { self.tag[0][2] & 0xf0 };
        let kind = |at: usize, new: [u8; 2]| match at < usize::from(self.tags) && self.tags == wanted {
            true => [self.tag[at][0], self.tag[at][1]],
            false => new,
        };
        let tag = |[a, b]: [u8; 2], priority: u8, [high, low]: [u8; 2]| [a, b, priority | high & 0x0f, low];
        match wanted {
            0 => frame.write(ETHERTYPE, self.ethertype),
            1 => {
                frame.write(ETHERTYPE, tag(kind(0, ETHERTYPE_VLAN), priority, egress.vlans[0]))?;
                frame.write(ETHERTYPE + 4, self.ethertype)
            }
            _ => {
                // The inner tag's priority goes with it, where there was one.
                let inner = if self.tags == 2 { self.tag[1][2] & 0xf0 } else { priority };
                frame.write(ETHERTYPE, tag(kind(0, ETHERTYPE_SERVICE_VLAN), priority, egress.vlans[0]))?;
                frame.write(ETHERTYPE + 4, tag(kind(1, ETHERTYPE_VLAN), inner, egress.vlans[1]))?;
                frame.write(ETHERTYPE + 8, self.ethertype)
            }
        }
    }

    /// Makes room for `len` bytes in front of the network header, and addresses the frame back to whom it came from.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a header's length")]
    pub(crate) fn put_in_front<F: Frame>(&self, frame: &mut F, len: usize) -> Option<()> {
        frame.move_start(-(len as i32))?;
        self.send_back(frame)?;
        match self.tags {
            0 => frame.write(ETHERTYPE, self.ethertype),
            1 => {
                frame.write(ETHERTYPE, self.tag[0])?;
                frame.write(ETHERTYPE + 4, self.ethertype)
            }
            _ => {
                frame.write(ETHERTYPE, self.tag)?;
                frame.write(ETHERTYPE + 8, self.ethertype)
            }
        }
    }

    /// Addresses the frame back to whom it came from, with the same tags.
    #[inline(always)]
    pub(crate) fn send_back<F: Frame>(&self, frame: &mut F) -> Option<()> {
        frame.write(0, [self.source, self.port.mac])
    }
}
