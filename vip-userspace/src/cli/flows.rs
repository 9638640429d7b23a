//! `vip flows`: its arguments, and what is listed.

use clap::Args;
use serde_json::json;
use vip_userspace::{
    control::{Code, Refused},
    controller::{self, WantedFlows},
    model::{BackendName, ServiceName},
    places::Places,
};

use super::Output;
use crate::render;

/// Which flows are listed.
#[derive(Args, Debug)]
pub(crate) struct Flows {
    /// Only those that live on this backend
    #[arg(long, value_name = "NAME")]
    backend: Option<BackendName>,
    /// Only those of this service
    #[arg(long, value_name = "NAME")]
    service: Option<ServiceName>,
    /// At most so many; how many more there are is told
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    limit: usize,
}

impl Flows {
    pub(super) fn carry_out(self, places: &Places) -> Result<Output, Refused> {
        let Self { backend, service, limit } = self;
        let found = controller::flows(places, &WantedFlows { backend, service, limit })?;
        let list = found.ok_or_else(|| nothing_pinned(places))?;
        Ok(Output { text: render::flows(&list), json: json!(list), but: None, exit: 0 })
    }
}

/// There is nothing to be read.
pub(super) fn nothing_pinned(places: &Places) -> Refused {
    let message = format!("nothing of instance {} is pinned at {}", places.instance, places.pins().display());
    Refused::new(Code::NoController, message)
        .with_remedy("start it with `vip run --config FILE`, or name another --instance")
}
