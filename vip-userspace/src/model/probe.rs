//! What one probe of a check does, as the operator states it.

use serde::{Deserialize, Serialize};

use super::{Check, Protocol, words::words};

/// What one probe does.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Probe {
    /// A TCP connection is accepted.
    Tcp,
    /// A TLS handshake over TCP succeeds.
    Tls(Tls),
    /// An HTTP/1.1 request over TCP, or TLS, is answered as expected.
    Http(Http),
}

/// How TLS is spoken, and whom it is spoken with.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug, Serialize, Deserialize)]
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
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
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
        }
    }

    /// What it speaks TLS by, if it does.
    #[must_use]
    pub const fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Tls(tls) => Some(tls),
            Self::Http(http) => http.tls.as_ref(),
            Self::Tcp => None,
        }
    }

    /// The same, to be changed.
    pub const fn tls_mut(&mut self) -> Option<&mut Tls> {
        match self {
            Self::Tls(tls) => Some(tls),
            Self::Http(http) => http.tls.as_mut(),
            Self::Tcp => None,
        }
    }

    /// The protocol whose port it needs, if it needs any.
    #[must_use]
    pub const fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Tcp | Self::Tls(_) | Self::Http(_) => Some(Protocol::Tcp),
        }
    }
}
