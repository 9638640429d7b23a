//! Whom probes trust: this box's certificate authorities, those of a file, or anybody. A file is read again when it has
//! changed; nothing is read twice otherwise, for thousands of checks share it.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::SystemTime,
};

use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

use super::Within;
use crate::model::{Cause, Tls};

/// Settings that differ in nothing but the name.
type Key = (Option<String>, bool, Within);
/// When a file was changed last, and its length; nothing for what is no file.
type Stamp = Option<(SystemTime, u64)>;

static CONFIGS: Mutex<BTreeMap<Key, (Stamp, Arc<ClientConfig>)>> = Mutex::new(BTreeMap::new());
/// Those that this box trusts, as they were when the first probe asked.
static OF_THIS_BOX: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

/// How TLS is spoken by these settings.
///
/// # Errors
/// This box can't say whom it trusts.
pub(super) fn config(tls: &Tls, within: Within) -> Result<Arc<ClientConfig>, Cause> {
    let key = (tls.ca.clone(), tls.insecure, within);
    let stamp = tls.ca.as_deref().filter(|_| !tls.insecure).map(stamp).transpose()?;
    let mut configs = CONFIGS.lock().unwrap_or_else(PoisonError::into_inner);
    match configs.get(&key) {
        Some((seen, config)) if *seen == stamp => Ok(Arc::clone(config)),
        _ => {
            let config = Arc::new(make(tls, within)?);
            configs.insert(key, (stamp, Arc::clone(&config)));
            Ok(config)
        }
    }
}

fn stamp(path: &str) -> Result<(SystemTime, u64), Cause> {
    let metadata = fs::metadata(path).and_then(|about| Ok((about.modified()?, about.len())));
    metadata.map_err(|error| not_made(format!("ca {path}: {error}")))
}

fn make(tls: &Tls, within: Within) -> Result<ClientConfig, Cause> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| not_made(error.to_string()))?;
    let builder = match tls.insecure {
        true => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        false => builder.with_root_certificates(roots(tls.ca.as_deref())?),
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = within.map(<[u8]>::to_vec).into_iter().collect();
    // All backends answer to the VIP's name: what one of them was trusted for must not let another one off.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn roots(ca: Option<&str>) -> Result<RootCertStore, Cause> {
    let Some(path) = ca else {
        let roots = OF_THIS_BOX.clone();
        let advice = "this box trusts no certificate authority: install ca-certificates, or state `ca`";
        return if roots.is_empty() { Err(not_made(advice.to_owned())) } else { Ok(roots) };
    };
    let mut roots = RootCertStore::empty();
    let bad = |error: &dyn std::fmt::Display| not_made(format!("ca {path}: {error}"));
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))? {
        let certificate = certificate.map_err(|error| bad(&error))?;
        roots.add(certificate).map_err(|error| bad(&error))?;
    }
    if roots.is_empty() { Err(bad(&"it has no certificate in PEM")) } else { Ok(roots) }
}

fn not_made(said: String) -> Cause {
    Cause::NotMade { said }
}

/// Lets any certificate pass.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
