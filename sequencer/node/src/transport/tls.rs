//! Mutual TLS 1.3 in which a certificate is only the envelope of an ed25519 key, and the key must
//! be one of the pinned ones. Names, dates and issuers mean nothing here.

use std::collections::BTreeSet;
use std::sync::Arc;

use conclave_types::TransportKey;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use zeroize::Zeroizing;

use super::TransportError;

/// The name that clients ask for and nobody checks.
pub(super) const SERVER_NAME: &str = "conclave";
const ALPN: &[u8] = b"conclave/1";

/// RFC 8410: a PKCS#8 version 1 private key with the ed25519 object identifier, up to the seed.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// RFC 8410: a SubjectPublicKeyInfo with the ed25519 object identifier, up to the key.
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// The node's own certificate and key.
pub(super) struct OwnCertificate {
    pub(super) public: TransportKey,
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl OwnCertificate {
    /// Makes the certificate of an ed25519 seed.
    pub(super) fn new(seed: &[u8; 32]) -> Result<Self, TransportError> {
        let mut pkcs8 = Zeroizing::new(PKCS8_PREFIX.to_vec());
        pkcs8.extend_from_slice(seed);
        let key = PrivatePkcs8KeyDer::from(pkcs8.as_slice());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519).map_err(failed)?;
        let certificate = CertificateParams::new([SERVER_NAME.to_owned()])
            .and_then(|parameters| parameters.self_signed(&pair))
            .map_err(failed)?
            .der()
            .clone();
        let public = key_of(&certificate).ok_or_else(|| failed("the certificate has no key"))?;
        Ok(Self {
            public,
            certificate,
            key: key.clone_key(),
            provider: Arc::new(ring::default_provider()),
        })
    }

    /// Accepts clients with one of `keys`.
    pub(super) fn server(
        &self,
        keys: BTreeSet<TransportKey>,
    ) -> Result<QuicServerConfig, TransportError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(failed)?
            .with_client_cert_verifier(Arc::new(self.pinned(keys)))
            .with_single_cert(vec![self.certificate.clone()], self.private_key())
            .map_err(failed)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would skip the check of the key, and save little between peers that
        // stay connected.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        QuicServerConfig::try_from(config).map_err(failed)
    }

    /// Connects to the server with `key` only.
    pub(super) fn client(&self, key: TransportKey) -> Result<QuicClientConfig, TransportError> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(failed)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.pinned(BTreeSet::from([key]))))
            .with_client_auth_cert(vec![self.certificate.clone()], self.private_key())
            .map_err(failed)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        QuicClientConfig::try_from(config).map_err(failed)
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }

    fn pinned(&self, keys: BTreeSet<TransportKey>) -> Pinned {
        Pinned {
            keys,
            algorithms: self.provider.signature_verification_algorithms,
        }
    }
}

/// The ed25519 key of a certificate, if it has one.
pub(super) fn key_of(certificate: &CertificateDer<'_>) -> Option<TransportKey> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let spki = parsed.subject_public_key_info();
    let key = spki.as_ref().strip_prefix(&SPKI_PREFIX)?;
    key.try_into().ok().map(TransportKey)
}

/// Accepts the certificates of a set of keys, whatever else they say.
#[derive(Debug)]
struct Pinned {
    keys: BTreeSet<TransportKey>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        match key_of(certificate) {
            Some(key) if self.keys.contains(&key) => Ok(()),
            Some(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            None => Err(CertificateError::BadEncoding.into()),
        }
    }

    /// That the other side holds the key, by its signature over the handshake.
    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

fn only_tls13() -> Error {
    Error::General("only TLS 1.3 is spoken here".to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "the argument of `map_err`")]
fn failed(reason: impl ToString) -> TransportError {
    TransportError::Tls {
        reason: reason.to_string(),
    }
}
