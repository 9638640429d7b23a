//! What drivers tell of an interface by the kernel's ethtool family: features, rings, RX queues. It changes nothing.

use std::{collections::BTreeSet, io};

use ethtool::{
    EthtoolAttr, EthtoolChannelAttr, EthtoolError, EthtoolFeatureAttr, EthtoolFeatureBit, EthtoolHandle,
    EthtoolMessage, EthtoolRingAttr,
};
use futures_util::{Stream, TryStreamExt as _};
use netlink_packet_generic::GenlMessage;
use tokio::task::AbortHandle;

/// A connection for questions. It ends when dropped.
#[derive(Debug)]
pub struct Ethtool {
    handle: EthtoolHandle,
    connection: AbortHandle,
}

/// Features by the kernel's names (net/ethtool/common.c, `netdev_features_strings`): `rx-lro`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Features {
    /// Those that are on.
    pub on: BTreeSet<String>,
    /// Those that can be changed.
    pub changeable: BTreeSet<String>,
}

/// How much there is of something now, and how much there could be.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Size {
    /// Now.
    pub now: u32,
    /// At most; 0 where the driver does not tell.
    pub most: u32,
}

impl Drop for Ethtool {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Ethtool {
    /// Connects to the kernel, in the network namespace of this thread.
    ///
    /// # Errors
    /// There can be no socket.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect() -> io::Result<Self> {
        let (connection, handle, _) = ethtool::new_connection()?;
        Ok(Self { handle, connection: tokio::spawn(connection).abort_handle() })
    }

    /// The features of an interface.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn features(&mut self, interface: &str) -> io::Result<Features> {
        let answer = all(self.handle.feature().get(Some(interface)).execute().await).await?;
        let mut features = Features::default();
        for attribute in answer.unwrap_or_default() {
            match attribute {
                EthtoolAttr::Feature(EthtoolFeatureAttr::Active(bits)) => features.on = names(bits),
                EthtoolAttr::Feature(EthtoolFeatureAttr::Hw(bits)) => features.changeable = names(bits),
                _ => {}
            }
        }
        Ok(features)
    }

    /// Descriptors of each RX ring; `None` where the driver does not tell.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn ring(&mut self, interface: &str) -> io::Result<Option<Size>> {
        let Some(answer) = all(self.handle.ring().get(Some(interface)).execute().await).await? else {
            return Ok(None);
        };
        let mut size = Size::default();
        for attribute in answer {
            match attribute {
                EthtoolAttr::Ring(EthtoolRingAttr::Rx(now)) => size.now = now,
                EthtoolAttr::Ring(EthtoolRingAttr::RxMax(most)) => size.most = most,
                _ => {}
            }
        }
        Ok((size.now > 0).then_some(size))
    }

    /// RX queues, those that also send among them; `None` where the driver does not tell.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn queues(&mut self, interface: &str) -> io::Result<Option<Size>> {
        let asked = self.handle.channel().get(Some(interface)).execute().await;
        let Some(answer) = all(asked).await? else { return Ok(None) };
        let mut size = Size::default();
        for attribute in answer {
            let EthtoolAttr::Channel(attribute) = attribute else { continue };
            match attribute {
                EthtoolChannelAttr::RxCount(count) | EthtoolChannelAttr::CombinedCount(count) => {
                    size.now += count;
                }
                EthtoolChannelAttr::RxMax(count) | EthtoolChannelAttr::CombinedMax(count) => {
                    size.most += count;
                }
                _ => {}
            }
        }
        Ok((size.now > 0).then_some(size))
    }
}

fn names(bits: Vec<EthtoolFeatureBit>) -> BTreeSet<String> {
    bits.into_iter().filter(|bit| bit.value).map(|bit| bit.name).collect()
}

/// All attributes of an answer; `None` where the driver has nothing of the kind.
async fn all(
    asked: Result<impl Stream<Item = Result<GenlMessage<EthtoolMessage>, EthtoolError>>, EthtoolError>,
) -> io::Result<Option<Vec<EthtoolAttr>>> {
    let answers: Result<Vec<_>, _> = match asked {
        Ok(stream) => stream.try_collect().await,
        Err(error) => Err(error),
    };
    match answers {
        Ok(answers) => Ok(Some(answers.into_iter().flat_map(|answer| answer.payload.nlas).collect())),
        Err(EthtoolError::NetlinkError(error)) => {
            let error = error.to_io();
            if error.raw_os_error() == Some(libc::EOPNOTSUPP) { Ok(None) } else { Err(error) }
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_loopback_interface_has_features_and_no_rings() {
        let mut ethtool = Ethtool::connect().expect("connect");
        let features = ethtool.features("lo").await.expect("features");
        assert!(
            features.on.contains("loopback") && !features.changeable.contains("loopback"),
            "{features:?}"
        );
        assert!(features.changeable.contains("rx-gro"), "{features:?}");
        assert_eq!(ethtool.ring("lo").await.expect("ring"), None);
        let error = ethtool.features("no-such-if").await.expect_err("no interface");
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV), "{error}");
    }
}
