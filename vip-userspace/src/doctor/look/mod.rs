//! Reads the facts. What follows from them is not known here.

mod interfaces;
mod known;
mod load;
mod machine;
mod wire;

pub(super) use self::{
    interfaces::{Seen, interfaces},
    known::{Known, known},
    load::sample,
    machine::machine,
    wire::on_wire,
};
use crate::{
    control::{Code, Refused},
    net::NetError,
};

/// The kernel can't be asked.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: NetError) -> Refused {
    Refused::new(Code::Failed, error.to_string())
}
