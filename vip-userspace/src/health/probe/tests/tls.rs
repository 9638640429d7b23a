//! TLS handshakes and HTTPS requests with real servers, whose certificates are made for the occasion.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::{LONG, is_late};
use crate::{
    health::{Path, probe},
    model::{Cause, Http, Probe, Tls, TlsFailure},
};

/// A certificate authority, and the file of its certificate.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        let dir = tempfile::tempdir().expect("a directory");
        // Two of the same name would be taken for each other, until a signature turns out to be wrong.
        params.distinguished_name.push(DnType::CommonName, dir.path().display().to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(dir.path().join("ca.pem"), certificate.pem()).expect("a file");
        Self { issuer: Issuer::new(params, key), dir }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// TLS settings that trust it alone.
    pub(super) fn trusted(&self, sni: &str) -> Tls {
        let ca = self.file().to_str().expect("text").to_owned();
        Tls { sni: Some(sni.to_owned()), ca: Some(ca), insecure: false }
    }

    /// A server's side of TLS, with a certificate for these names, changed by `change`.
    pub(super) fn server(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a configuration")
    }
}

/// Serves TLS: to each connection it says `answer` after its first bytes, and again and again if it is to go on.
async fn serve(config: ServerConfig, answer: &'static str, goes_on: bool) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                stream.read_u8().await?;
                stream.write_all(answer.as_bytes()).await?;
                if goes_on {
                    loop {
                        stream.write_all(&[b'x'; 16_384]).await?;
                    }
                }
                stream.shutdown().await
            });
        }
    });
    address
}

async fn tried(kind: Probe, address: SocketAddr, timeout: Duration) -> Result<(), Cause> {
    probe(&kind, address, &Path::Routed, timeout).await
}

async fn handshake(tls: Tls, address: SocketAddr) -> Result<(), Cause> {
    tried(Probe::Tls(tls), address, LONG).await
}

#[tokio::test]
async fn a_certificate_is_checked_by_its_issuer_name_and_time() {
    let authority = Authority::new();
    let good = authority.server(&["web.example", "127.0.0.1"], |_| {});
    let address = serve(good, "", false).await;
    let trusted = |name: &str| authority.trusted(name);
    assert_eq!(handshake(trusted("web.example"), address).await, Ok(()));
    // Without a name it is to be for the address.
    assert_eq!(handshake(Tls { sni: None, ..trusted("") }, address).await, Ok(()));
    let refused = |result: Result<(), Cause>| match result {
        Err(Cause::Tls { what, said }) => (what, said),
        other => panic!("{other:?}"),
    };
    let (what, said) = refused(handshake(trusted("shop.example"), address).await);
    assert_eq!(what, TlsFailure::WrongName);
    assert!(said.contains("web.example") && said.contains("not shop.example"), "{said}");
    let stranger = Authority::new();
    let (what, _) = refused(handshake(stranger.trusted("web.example"), address).await);
    assert_eq!(what, TlsFailure::UnknownIssuer);
    let insecure = Tls { insecure: true, ..Tls::default() };
    assert_eq!(handshake(insecure, address).await, Ok(()));

    for (years, failure) in [((2001, 2002), TlsFailure::Expired), ((4000, 4001), TlsFailure::NotYetValid)] {
        let config = authority.server(&["web.example"], |params| {
            params.not_before = date_time_ymd(years.0, 1, 1);
            params.not_after = date_time_ymd(years.1, 1, 1);
        });
        let address = serve(config, "", false).await;
        assert_eq!(refused(handshake(trusted("web.example"), address).await).0, failure);
    }
}

#[tokio::test]
async fn a_server_that_speaks_something_else_or_nothing_has_no_handshake() {
    for said in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.read_u8().await.expect("a hello");
            let _ = stream.write_all(said.as_bytes()).await;
            let _ = stream.shutdown().await;
            while stream.read_u8().await.is_ok() {}
        });
        let cause = handshake(Tls { insecure: true, ..Tls::default() }, address).await.expect_err("no TLS");
        assert!(matches!(cause, Cause::Tls { what: TlsFailure::Protocol, .. }), "{said:?}: {cause}");
        serving.await.expect("it ends");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let ask = async |time| tried(Probe::Tls(Tls::default()), address, time).await;
    is_late("shaking hands by TLS", ask).await;
}

#[tokio::test]
async fn an_authority_that_this_box_can_not_read_is_not_held_against_the_backend() {
    let authority = Authority::new();
    let address = serve(authority.server(&["a.example"], |_| {}), "", false).await;
    let tls = authority.trusted("a.example");
    assert_eq!(handshake(tls.clone(), address).await, Ok(()));
    std::fs::write(authority.file(), "nothing").expect("a file");
    let cause = handshake(tls.clone(), address).await.expect_err("no certificate");
    assert!(!cause.counts() && cause.to_string().contains("it has no certificate in PEM"), "{cause}");
    std::fs::remove_file(authority.file()).expect("a file");
    let cause = handshake(tls, address).await.expect_err("no file");
    assert!(!cause.counts() && cause.to_string().contains("ca.pem: No such file"), "{cause}");
}

#[tokio::test]
async fn https_is_http_within_tls() {
    let authority = Authority::new();
    let https = |answer, goes_on| {
        let config = authority.server(&["a.example"], |_| {});
        let tls = Tls { sni: None, ..authority.trusted("") };
        let http = Http { host: Some("a.example:8443".to_owned()), tls: Some(tls), ..Http::get("/") };
        async move {
            let address = serve(config, answer, goes_on).await;
            (http, address)
        }
    };
    let (http, address) = https("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false).await;
    assert_eq!(tried(Probe::Http(http), address, LONG).await, Ok(()));
    let (http, address) = https("HTTP/1.1 503 Busy\r\n\r\n", false).await;
    let busy = Err(Cause::HttpStatus { got: 503, low: 200, high: 399 });
    assert_eq!(tried(Probe::Http(http), address, LONG).await, busy);
    let (http, address) = https("HTTP/1.1 200 OK\r\n\r\n", true).await;
    let http = Http { body: Some("fine".to_owned()), ..http };
    let lacks = Err(Cause::BodyLacksText { text: "fine".to_owned(), read: Http::MAX_BODY });
    assert_eq!(tried(Probe::Http(http), address, LONG).await, lacks);
}
