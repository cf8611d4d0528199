//! TLS connections to routers.
//!
//! Routers have self-signed certificates, which no authority vouches for. The client therefore
//! needs the certificate itself. Java I2P writes it to `certificates/i2cp/` in its directory.

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::prompt::PromptTcp;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        CertificateError as Refused, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    },
};

/// The certificate that a router must present.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// This certificate, in DER form.
    Certificate(Vec<u8>),
    /// Any certificate, if the router is on this computer. Connections to other computers are
    /// refused, because an attacker on the network could read all data, including the keys of the
    /// lease set.
    OnLoopback,
}

impl Trust {
    /// Reads a certificate from a file in PEM or DER form.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or contains no certificate.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, CertificateError> {
        let path = path.as_ref();
        let error = |why: String| CertificateError {
            path: path.to_owned(),
            why,
        };
        let bytes = eepkit_files::read(path, MAX_FILE_LEN).map_err(|e| error(e.to_string()))?;
        Self::from_bytes(&bytes).ok_or_else(|| error("it contains no certificate".to_owned()))
    }

    /// Decodes a certificate in PEM or DER form. Returns `None` if it is not one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if let Ok(certificate) = CertificateDer::from_pem_slice(bytes) {
            return Some(Self::Certificate(certificate.to_vec()));
        }
        // A certificate is a DER sequence with a two-byte length.
        bytes
            .starts_with(&[0x30, 0x82])
            .then(|| Self::Certificate(bytes.to_vec()))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate(_) => "Certificate(..)",
            Self::OnLoopback => "OnLoopback",
        })
    }
}

/// A file does not contain a usable certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot use the certificate in {}: {why}", path.display())]
pub struct CertificateError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

pub(super) async fn handshake(
    at: SocketAddr,
    trust: &Trust,
    stream: PromptTcp,
) -> io::Result<TlsStream<PromptTcp>> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier {
        at,
        trust: trust.clone(),
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    connector
        .connect(ServerName::IpAddress(at.ip().into()), stream)
        .await
}

/// Accepts only the known certificate, with any name and any dates. The signature of the handshake
/// proves that the router has its key.
#[derive(Debug)]
struct Verifier {
    at: SocketAddr,
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trust {
            Trust::Certificate(known) if end_entity.as_ref() == known.as_slice() => {
                Ok(ServerCertVerified::assertion())
            }
            Trust::Certificate(_) => Err(Refused::ApplicationVerificationFailure.into()),
            Trust::OnLoopback if self.at.ip().is_loopback() => Ok(ServerCertVerified::assertion()),
            Trust::OnLoopback => Err(Refused::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The maximum size of a certificate file, in bytes. Chosen above the few kilobytes of a
/// certificate, so that a wrong file is not read into memory.
const MAX_FILE_LEN: usize = 1024 * 1024;
