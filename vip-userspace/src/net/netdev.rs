//! What XDP programs can do with an interface, and what its RX queues have received, by the kernel's family `netdev` (since
//! Linux 6.3; Documentation/netlink/specs/netdev.yaml). It changes nothing.

use std::{collections::BTreeMap, io};

use futures_util::StreamExt as _;
use genetlink::GenetlinkError;
use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, Nla,
    NlasIterator, Parseable as _, ParseableParametrized,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};

/// `NETDEV_CMD_DEV_GET`
const DEVICE_GET: u8 = 1;
/// `NETDEV_A_DEV_IFINDEX`
const IFINDEX: u16 = 1;
/// `NETDEV_A_DEV_XDP_FEATURES`
const XDP_FEATURES: u16 = 3;

/// `NETDEV_CMD_QSTATS_GET`, since Linux 6.10
const STATISTICS_GET: u8 = 12;
/// `NETDEV_A_QSTATS_IFINDEX`
const OF_IFINDEX: u16 = 1;
/// `NETDEV_A_QSTATS_QUEUE_TYPE`: 0 for RX.
const QUEUE_TYPE: u16 = 2;
/// `NETDEV_A_QSTATS_QUEUE_ID`
const QUEUE_ID: u16 = 3;
/// `NETDEV_A_QSTATS_SCOPE`: 1 for each queue of its own.
const SCOPE: u16 = 4;
/// `NETDEV_A_QSTATS_RX_PACKETS`
const RX_PACKETS: u16 = 8;

/// What programs can do, as the kernel's bits (`enum netdev_xdp_act`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct XdpFeatures(pub u64);

impl XdpFeatures {
    /// `NETDEV_XDP_ACT_BASIC`: run in the driver.
    pub const BASIC: Self = Self(1);
    /// `NETDEV_XDP_ACT_REDIRECT`: send out of another interface.
    pub const REDIRECT: Self = Self(1 << 1);
    /// `NETDEV_XDP_ACT_NDO_XMIT`: be that other interface.
    pub const NDO_XMIT: Self = Self(1 << 2);
    /// `NETDEV_XDP_ACT_RX_SG`: see frames in several buffers.
    pub const RX_SG: Self = Self(1 << 5);

    /// Whether all of `others` is among it.
    #[must_use]
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// A message of the family: a command with its attributes.
#[derive(Clone, Debug)]
struct Device {
    command: u8,
    attributes: Vec<DefaultNla>,
}

impl GenlFamily for Device {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        self.command
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Device {
    fn buffer_len(&self) -> usize {
        self.attributes.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.attributes.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Device {
    fn parse_with_param(bytes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        let attributes = NlasIterator::new(bytes).map(|attribute| DefaultNla::parse(&attribute?));
        Ok(Self { command: header.cmd, attributes: attributes.collect::<Result<_, _>>()? })
    }
}

/// What XDP programs can do with an interface, in the network namespace of this thread; `None` where the kernel does not
/// tell.
///
/// # Errors
/// The kernel refuses.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn xdp_features(ifindex: u32) -> io::Result<Option<XdpFeatures>> {
    let answers = ask(DEVICE_GET, 0, vec![number(IFINDEX, ifindex)]).await?;
    Ok(answers.and_then(|answers| {
        answers.first().map(|device| XdpFeatures(device.value(XDP_FEATURES).unwrap_or(0)))
    }))
}

/// The packets that each RX queue of an interface has received; none where the kernel or the driver does not tell.
///
/// # Errors
/// The kernel refuses.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn queue_packets(ifindex: u32) -> io::Result<BTreeMap<u32, u64>> {
    let attributes = vec![number(OF_IFINDEX, ifindex), number(SCOPE, 1)];
    let answers = match ask(STATISTICS_GET, NLM_F_DUMP, attributes).await {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL)) => None,
        answers => answers?,
    };
    let received = answers.iter().flatten().filter(|queue| queue.value(QUEUE_TYPE) == Some(0));
    let packets = received.filter_map(|queue| {
        let id = u32::try_from(queue.value(QUEUE_ID)?).ok()?;
        Some((id, queue.value(RX_PACKETS)?))
    });
    Ok(packets.collect())
}

impl Device {
    /// A number, of whatever size.
    fn value(&self, kind: u16) -> Option<u64> {
        let attribute = self.attributes.iter().find(|attribute| attribute.kind() == kind)?;
        let mut bytes = vec![0; attribute.value_len()];
        attribute.emit_value(&mut bytes);
        match bytes.len() {
            4 => bytes.try_into().ok().map(u32::from_ne_bytes).map(u64::from),
            8 => bytes.try_into().ok().map(u64::from_ne_bytes),
            _ => None,
        }
    }
}

fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_ne_bytes().to_vec())
}

/// The answers of the family; `None` where there is none.
async fn ask(command: u8, flags: u16, attributes: Vec<DefaultNla>) -> io::Result<Option<Vec<Device>>> {
    let (connection, mut handle, _) = genetlink::new_connection()?;
    let connection = tokio::spawn(connection).abort_handle();
    let mut message = NetlinkMessage::from(GenlMessage::from_payload(Device { command, attributes }));
    message.header.flags = NLM_F_REQUEST | flags;
    let mut found = Ok(Some(Vec::new()));
    match handle.request(message).await {
        Ok(mut answers) => {
            while let (Ok(Some(devices)), Some(answer)) = (&mut found, answers.next().await) {
                match read(answer) {
                    Ok(device) => devices.extend(device),
                    Err(error) => found = Err(error),
                }
            }
        }
        // There is no such family before Linux 6.3.
        Err(GenetlinkError::NetlinkError(error)) if error.raw_os_error() == Some(libc::ENOENT) => {
            found = Ok(None);
        }
        Err(error) => found = Err(io::Error::other(error)),
    }
    connection.abort();
    found
}

fn read(answer: Result<NetlinkMessage<GenlMessage<Device>>, DecodeError>) -> io::Result<Option<Device>> {
    match answer.map_err(io::Error::other)?.payload {
        NetlinkPayload::InnerMessage(message) => Ok(Some(message.payload)),
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_loopback_interface_knows_no_xdp_of_its_own() {
        let features = xdp_features(1).await.expect("ask");
        assert!(features.is_none_or(|features| !features.has(XdpFeatures::BASIC)), "{features:?}");
        if features.is_some() {
            let error = xdp_features(0x7fff_fff0).await.expect_err("no interface");
            assert_eq!(error.raw_os_error(), Some(libc::ENODEV), "{error}");
        }
    }
}
