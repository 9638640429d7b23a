//! The doctor: looks at the machine, the interfaces, the links and the load, and says what keeps packets from getting where
//! they should, each finding with its remedy. It changes nothing.
//!
//! [`judge`] makes findings from [`facts`], and is pure, as are [`load`] and [`mod@script`]; `look` reads the facts.

pub mod facts;
pub mod finding;
pub mod judge;
pub mod load;
mod look;
pub mod script;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use self::{facts::Facts, look::Known};
pub use self::{
    finding::{Finding, Report, Severity},
    script::{Demands, script},
};
use crate::{
    control::{Refused, client::Client},
    places::Places,
};

/// Where to look.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Where the instance keeps its things.
    pub places: Places,
    /// The control socket.
    pub socket: PathBuf,
    /// The configuration; without one, what runs says what is wanted, or the usual file.
    pub config: Option<PathBuf>,
}

/// Looks at everything, or at one interface, and at the load for that time; for none, load is left out.
///
/// # Errors
/// There is no such interface, the configuration is none, or the kernel can't be asked at all.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn examine(scope: &Scope, interface: Option<&str>, time: Duration) -> Result<Report, Refused> {
    let known = look::known(scope, &Client::new(&scope.socket)).await?;
    let seen = look::interfaces(&known, interface).await?;
    let first = if time.is_zero() { None } else { Some(look::sample(&seen.interfaces).await) };
    let started = Instant::now();
    let (vips, backends) = look::on_wire(&known, &seen).await?;
    let load = match first {
        Some(first) => {
            tokio::time::sleep(time.saturating_sub(started.elapsed())).await;
            let (second, seconds) = (look::sample(&seen.interfaces).await, started.elapsed().as_secs_f64());
            Some(first.and_then(|first| Ok(load::between(&first, &second?, seconds))))
        }
        None => None,
    };
    let machine = look::machine(&scope.places);
    let look::Seen { interfaces, missing, .. } = seen;
    let Known { director, .. } = known;
    Ok(judge::judge(&Facts { machine, director, interfaces, missing, vips, backends, load }))
}

/// What is asked of backends, for all VIPs or for some.
///
/// # Errors
/// The configuration is none.
pub async fn demands(scope: &Scope, vips: &BTreeSet<IpAddr>) -> Result<Demands, Refused> {
    let known = look::known(scope, &Client::new(&scope.socket)).await?;
    let intent = known.director.config.map(|config| config.intent).unwrap_or_default();
    Ok(Demands::of(&intent, vips))
}
