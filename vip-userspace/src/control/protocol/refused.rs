//! Refusals: one closed list of codes, each with the words for people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Refusal;

/// Why something was refused, and what helps.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// For programs.
    pub code: Code,
    /// For people: one sentence without a full stop.
    pub message: String,
    /// What can be done about it, in the imperative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The body of every answer that is a refusal.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The refusal.
    pub error: Refused,
}

/// The kind of a refusal. In JSON in kebab-case: `service-exists`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The command line is none.
    Usage,
    /// The request is no JSON of the wanted shape.
    BadRequest,
    /// The request's body is too long.
    TooLong,
    /// The caller may not do that at this socket.
    NotPermitted,
    /// As many follow the changes already as may.
    TooMany,
    /// There is no such path.
    NoSuchPath,
    /// The path is not for this HTTP method.
    MethodNotAllowed,
    /// The controller did not answer in time; the command may still take effect.
    Timeout,
    /// The controller is ending.
    Ending,
    /// The operating system does not let the caller do this.
    NotAllowed,
    /// There is a service of that name.
    ServiceExists,
    /// A service has that address, or some of its ports.
    AddressTaken,
    /// A service of the VIP has all packets without ports already.
    FragmentsTaken,
    /// There is no service of that name.
    NoService,
    /// There is a backend of that name.
    BackendExists,
    /// A backend has that address.
    BackendAddressTaken,
    /// There is no backend of that name.
    NoBackend,
    /// The backend is no member of the service, or of any.
    NoMember,
    /// The backend is a member of the service already.
    MemberExists,
    /// The backend is a member somewhere.
    BackendInUse,
    /// The address is both a VIP and a backend's.
    VipIsBackend,
    /// A value is one that it can't be, or contradicts another: an address, a MAC, a path, a host name, a check, a time.
    BadValue,
    /// A figure is out of its range.
    OutOfRange,
    /// The VIP and the backend are of different families.
    WrongFamily,
    /// A backend is behind a gateway.
    NotOnLink,
    /// There is no such interface.
    NoInterface,
    /// The interface has another XDP program.
    InterfaceTaken,
    /// A drain ended with flows left: they got what `on-dead` says.
    FlowsLeft,
    /// Changes were not read fast enough, and some were missed.
    Lagged,
    /// Somebody traces already.
    TraceRuns,
    /// Nobody traces.
    NoTrace,
    /// Somebody else has changed what was waited for.
    Undone,
    /// A table in the kernel is full.
    TableFull,
    /// The kernel refused it; what was published stays.
    Kernel,
    /// The configuration file is no valid one.
    BadConfig,
    /// The change moves flows to other backends, and nobody has asked for that by force.
    MovesFlows,
    /// What is fixed when the tables are made would have to change.
    Fixed,
    /// Another controller of this instance runs.
    ControllerRuns,
    /// No controller of this instance runs.
    NoController,
    /// Anything else; also what a newer controller says.
    #[serde(other)]
    Failed,
}

impl Refused {
    /// A refusal without a remedy.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), remedy: None }
    }

    /// The same, with what can be done about it.
    #[must_use]
    pub fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

impl Code {
    /// The HTTP status (RFC 9110, section 15) that goes with it.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Usage | Self::BadRequest => 400,
            Self::NotAllowed | Self::NotPermitted => 403,
            Self::NoSuchPath | Self::NoService | Self::NoBackend | Self::NoMember | Self::NoTrace => 404,
            Self::MethodNotAllowed => 405,
            Self::TooLong => 413,
            Self::Failed | Self::Kernel => 500,
            Self::Ending | Self::NoController | Self::TooMany => 503,
            Self::Timeout => 504,
            Self::ServiceExists
            | Self::AddressTaken
            | Self::FragmentsTaken
            | Self::BackendExists
            | Self::BackendAddressTaken
            | Self::MemberExists
            | Self::BackendInUse
            | Self::VipIsBackend
            | Self::BadValue
            | Self::OutOfRange
            | Self::WrongFamily
            | Self::NotOnLink
            | Self::NoInterface
            | Self::InterfaceTaken
            | Self::FlowsLeft
            | Self::Lagged
            | Self::Undone
            | Self::TraceRuns
            | Self::TableFull
            | Self::BadConfig
            | Self::MovesFlows
            | Self::Fixed
            | Self::ControllerRuns => 409,
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::ServiceExists(_) => Code::ServiceExists,
            Refusal::AddressTaken { .. } | Refusal::AddressOverlaps { .. } => Code::AddressTaken,
            Refusal::NoService(_) => Code::NoService,
            Refusal::BackendExists(_) => Code::BackendExists,
            Refusal::BackendAddressTaken { .. } => Code::BackendAddressTaken,
            Refusal::NoBackend(_) => Code::NoBackend,
            Refusal::NoMember { .. } | Refusal::NoMembership(_) => Code::NoMember,
            Refusal::MemberExists { .. } => Code::MemberExists,
            Refusal::BackendInUse { .. } => Code::BackendInUse,
            Refusal::VipIsBackend { .. } => Code::VipIsBackend,
            Refusal::NoAddress(_)
            | Refusal::BadBackendAddress(..)
            | Refusal::BadMac(..)
            | Refusal::BadVip(..)
            | Refusal::BadPath { .. }
            | Refusal::BadHost { .. }
            | Refusal::BadSetting { .. }
            | Refusal::ScriptByCommand(_)
            | Refusal::PortOfAnyProtocol(_)
            | Refusal::CheckNeedsPort { .. }
            | Refusal::IdleTooShort { .. }
            | Refusal::OnDeadNeedsWindow { .. }
            | Refusal::PanicNeedsCheck(_)
            | Refusal::NothingToTimeOut
            | Refusal::TooManyTags(..)
            | Refusal::NoVip(_) => Code::BadValue,
            Refusal::OutOfRange { .. } | Refusal::BadVlan(..) | Refusal::BadTimeout(_) => Code::OutOfRange,
            Refusal::TwoByAddresses { .. } => Code::FragmentsTaken,
            Refusal::WrongFamily { .. } => Code::WrongFamily,
        };
        let refused = Self::new(code, refusal.to_string());
        match &refusal {
            Refusal::NoService(_) => refused.with_remedy("see `vip service list`"),
            Refusal::NoBackend(_) => refused.with_remedy("see `vip backend list`"),
            _ => refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_of_a_newer_controller_is_read_as_failed() {
        let refused: Refused = serde_json::from_str(r#"{"code":"moon-phase","message":"not tonight"}"#)
            .expect("a refusal with an unknown code");
        assert_eq!(refused, Refused::new(Code::Failed, "not tonight"));
    }

    #[test]
    fn a_refusal_is_json_with_a_kebab_case_code() {
        let refusal = Refusal::NoBackend("b9".parse().expect("a name"));
        assert_eq!(
            serde_json::to_string(&Refused::from(refusal)).expect("JSON"),
            r#"{"code":"no-backend","message":"there is no backend b9","remedy":"see `vip backend list`"}"#
        );
    }
}
