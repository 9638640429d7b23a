//! Shakes hands by TLS, and says what went wrong. Whom a probe trusts is decided by [`trust`].

mod trust;

use std::{io, net::IpAddr};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{CertificateError, Error, pki_types::ServerName},
};

use super::{
    Attempt,
    open::{blame, words},
};
use crate::model::{Cause, Stage, Tls, TlsFailure};

/// What is spoken within TLS, for who wants to know beforehand (ALPN, RFC 7301).
pub(super) type Within = Option<&'static [u8]>;

/// A handshake; success is all that is wanted.
pub(super) async fn probe(attempt: Attempt<'_>, tls: &Tls) -> Result<(), Cause> {
    connect(attempt, tls, None, None).await.map(drop)
}

/// A connection with TLS. `host` is the name that goes with the request, with or without a port.
pub(super) async fn connect(
    attempt: Attempt<'_>,
    tls: &Tls,
    host: Option<&str>,
    within: Within,
) -> Result<TlsStream<TcpStream>, Cause> {
    let name = name(tls.sni.as_deref().or(host), attempt.target.address.ip())?;
    let connector = TlsConnector::from(trust::config(tls, within)?);
    let stream = attempt.connect().await?;
    let shaken = async { connector.connect(name, stream).await.map_err(|error| explain(&error)) };
    attempt.within(Stage::Tls, shaken).await
}

/// The name that the certificate is to be for. A port behind it is not part of it.
fn name(stated: Option<&str>, probed: IpAddr) -> Result<ServerName<'static>, Cause> {
    let Some(stated) = stated else { return Ok(ServerName::from(probed)) };
    let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').to_owned();
    let without_port = stated.rsplit_once(':').map_or(stated, |(name, _)| name);
    ServerName::try_from(bare(stated))
        .or_else(|_| ServerName::try_from(bare(without_port)))
        .map_err(|_| Cause::NotMade { said: format!("{stated:?} is no name that a certificate can be for") })
}

fn explain(error: &io::Error) -> Cause {
    let tls = |what, said: String| Cause::Tls { what, said };
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return tls(TlsFailure::Protocol, "the server ended the connection".to_owned());
    }
    let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.raw_os_error() {
            Some(_) => blame(error, Stage::Tls),
            None => tls(TlsFailure::Protocol, words(error)),
        };
    };
    match inner {
        Error::AlertReceived(alert) => tls(TlsFailure::Alert, format!("{alert:?}")),
        Error::InvalidCertificate(bad) => tls(failure(bad), detail(bad)),
        other => tls(TlsFailure::Protocol, other.to_string()),
    }
}

const fn failure(bad: &CertificateError) -> TlsFailure {
    use CertificateError as Bad;
    match bad {
        Bad::Expired | Bad::ExpiredContext { .. } => TlsFailure::Expired,
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => TlsFailure::NotYetValid,
        Bad::UnknownIssuer => TlsFailure::UnknownIssuer,
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => TlsFailure::WrongName,
        _ => TlsFailure::Certificate,
    }
}

/// What the words for the failure leave open.
fn detail(bad: &CertificateError) -> String {
    match bad {
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!("it is for {}, not {}", presented.join(", "), expected.to_str())
        }
        bad if failure(bad) == TlsFailure::Certificate => bad.to_string(),
        _ => String::new(),
    }
}
