//! What one probe of a check does, as the operator states it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, Protocol, words::words};

/// What one probe does.
#[derive(Clone, PartialEq, Eq, Hash, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Probe {
    /// A TCP connection is accepted.
    Tcp,
    /// A TLS handshake over TCP succeeds.
    Tls(Tls),
    /// An HTTP/1.1 request over TCP, or TLS, is answered as expected.
    Http(Http),
    /// The gRPC health service says that it serves.
    Grpc(Grpc),
    /// A DNS question over UDP is answered as expected.
    Dns(Dns),
    /// An ICMP echo request is replied to.
    Ping,
    /// A program of the operator's ends with status 0.
    Script(Script),
}

/// How TLS is spoken, and whom it is spoken with.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Name that is asked for (SNI, RFC 6066) and that the certificate is to be for; where absent, that of the HTTP host,
    /// else the probed address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// File of the certificates that are trusted (PEM); where absent, those that this box trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Any certificate will do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
}

/// An HTTP/1.1 request, and the answer to it that is a success.
#[derive(Clone, PartialEq, Eq, Hash, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Its method.
    #[serde(default, skip_serializing_if = "Method::is_get")]
    pub method: Method,
    /// Its path, from its `/` on.
    pub path: String,
    /// Host header; the probed address where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Lowest and highest status that count as success.
    pub expect: (u16, u16),
    /// Text that the answer's body is to have in its first [`Http::MAX_BODY`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// It is HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

words! {
    /// Method of an HTTP request (RFC 9110, section 9) that asks and changes nothing, or is meant for a health check.
    Method is a "method" {
        /// The head and the body.
        Get = "GET",
        /// The head alone.
        Head = "HEAD",
        /// What may be asked.
        Options = "OPTIONS",
        /// Whatever the server makes of it; nothing is sent along.
        Post = "POST",
    }
}

/// A question to the gRPC health service (`grpc.health.v1`).
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grpc {
    /// Name of the gRPC service that is asked for; empty for the server as a whole.
    #[serde(default)]
    pub service: String,
    /// Authority of the request; the probed address where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// It goes by TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A DNS question, and the answer to it that is a success.
#[derive(Clone, PartialEq, Eq, Hash, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// The name that is asked for.
    pub name: String,
    /// The type of records that is asked for, of which a `NOERROR` answer is to have one.
    #[serde(default)]
    pub record: Record,
    /// The code of the answer.
    #[serde(default)]
    pub rcode: Rcode,
}

words! {
    /// A type of DNS records (RFC 1035, section 3.2.2, RFC 3596, RFC 2782).
    Record is a "type of DNS records" {
        /// An IPv4 address.
        A = "A",
        /// An IPv6 address.
        Aaaa = "AAAA",
        /// Another name for it.
        Cname = "CNAME",
        /// Who takes its mail.
        Mx = "MX",
        /// Who knows its zone.
        Ns = "NS",
        /// The name of an address.
        Ptr = "PTR",
        /// Where its zone begins.
        Soa = "SOA",
        /// Who serves it.
        Srv = "SRV",
        /// A text.
        Txt = "TXT",
    }
}

words! {
    /// The code of a DNS answer (RFC 1035, section 4.1.1).
    Rcode is a "DNS answer code" {
        /// It knows.
        NoError = "NOERROR",
        /// There is no such name.
        NxDomain = "NXDOMAIN",
        /// It does not want to.
        Refused = "REFUSED",
        /// It failed.
        ServFail = "SERVFAIL",
        /// It did not understand the question.
        FormErr = "FORMERR",
        /// It can't.
        NotImp = "NOTIMP",
    }
}

/// A program that checks a backend in its own way.
#[derive(Clone, PartialEq, Eq, Hash, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Its file, from the root on, and its arguments.
    pub command: Vec<String>,
    /// The user that it runs as; the controller's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl Method {
    fn is_get(&self) -> bool {
        *self == Self::Get
    }
}

impl Http {
    /// Most bytes of an answer's body that are looked at.
    pub const MAX_BODY: usize = 64 * 1024;

    /// A GET of that path, answered as a check expects that does not say otherwise.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self {
            method: Method::Get,
            path: path.to_owned(),
            host: None,
            expect: Check::DEFAULT_EXPECT,
            body: None,
            tls: None,
        }
    }
}

impl Probe {
    /// Its kind, by the word that operators state it with.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls(_) => "tls",
            Self::Http(Http { tls: None, .. }) => "http",
            Self::Http(Http { tls: Some(_), .. }) => "https",
            Self::Grpc(Grpc { tls: None, .. }) => "grpc",
            Self::Grpc(Grpc { tls: Some(_), .. }) => "grpcs",
            Self::Dns(_) => "dns",
            Self::Ping => "ping",
            Self::Script(_) => "script",
        }
    }

    /// What it speaks TLS by, if it does.
    #[must_use]
    pub const fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Tls(tls) => Some(tls),
            Self::Http(http) => http.tls.as_ref(),
            Self::Grpc(grpc) => grpc.tls.as_ref(),
            Self::Tcp | Self::Dns(_) | Self::Ping | Self::Script(_) => None,
        }
    }

    /// The same, to be changed.
    pub const fn tls_mut(&mut self) -> Option<&mut Tls> {
        match self {
            Self::Tls(tls) => Some(tls),
            Self::Http(http) => http.tls.as_mut(),
            Self::Grpc(grpc) => grpc.tls.as_mut(),
            Self::Tcp | Self::Dns(_) | Self::Ping | Self::Script(_) => None,
        }
    }

    /// The protocol whose port it needs, if it needs any.
    #[must_use]
    pub const fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Tcp | Self::Tls(_) | Self::Http(_) | Self::Grpc(_) => Some(Protocol::Tcp),
            Self::Dns(_) => Some(Protocol::Udp),
            Self::Ping | Self::Script(_) => None,
        }
    }
}
