//! TLS to a Docker daemon or to BuildKit: the user's files → [`TlsOpener`]. What goes wrong says which file it is about.

use super::stream::{ByteStream, Why};
use crate::builder::BuilderError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What the user says about TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tls {
    /// PEM file of the authorities that the server's certificate is signed by; None for those that the machine trusts.
    pub ca: Option<PathBuf>,
    /// PEM file of our certificate.
    pub cert: Option<PathBuf>,
    /// PEM file of its key.
    pub key: Option<PathBuf>,
    /// Whether any certificate of the server is taken.
    pub skip_verify: bool,
    /// The name in the server's certificate, where it is not the one in the address.
    pub server_name: Option<String>,
}

/// Agrees on TLS with one server.
#[derive(Clone)]
pub struct TlsOpener {
    connector: TlsConnector,
    name: ServerName<'static>,
    words: Words,
}

/// What error texts have to know.
#[derive(Clone)]
struct Words {
    name: String,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    why: Why,
}

impl TlsOpener {
    /// Reads the files. `protocol` is what is spoken inside.
    pub fn new(tls: &Tls, host: &str, protocol: &[u8], why: &Why) -> Result<Self, BuilderError> {
        let name = tls.server_name.clone().unwrap_or_else(|| host.to_owned());
        let parsed = ServerName::try_from(name.clone()).map_err(|error| BuilderError::BadAddress {
            text: name.clone(),
            reason: format!("it cannot be in a certificate: {error}"),
        })?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config(tls, protocol)?)),
            name: parsed,
            words: Words {
                name,
                ca: tls.ca.clone(),
                cert: tls.cert.clone(),
                why: why.clone(),
            },
        })
    }

    /// Agrees.
    pub async fn open(&self, stream: TcpStream) -> io::Result<ByteStream> {
        let stream = self.connector.connect(self.name.clone(), stream).await;
        Ok(ByteStream::new(Agreed {
            stream: stream.map_err(|error| self.words.explained(error))?,
            words: self.words.clone(),
            has_answered: false,
        }))
    }
}

/// For `map_err`: what is wrong with a file.
fn broken<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> BuilderError {
    let path = path.to_owned();
    move |reason| BuilderError::TlsFile {
        path,
        reason: reason.to_string(),
    }
}

fn config(tls: &Tls, protocol: &[u8]) -> Result<ClientConfig, BuilderError> {
    let provider = Arc::new(ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let verified = versions
        .dangerous()
        .with_custom_certificate_verifier(verifier(tls, provider)?);
    let mut config = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            let (chain, secret) = (
                certificates(cert)?,
                PrivateKeyDer::from_pem_file(key).map_err(broken(key))?,
            );
            verified.with_client_auth_cert(chain, secret).map_err(broken(key))?
        }
        (None, None) => verified.with_no_client_auth(),
        (Some(path), None) => return Err(broken(path)("there is a certificate and no key that belongs to it")),
        (None, Some(path)) => return Err(broken(path)("there is a key and no certificate that belongs to it")),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

/// A failure that has nothing to do with what the user gave.
fn unusable(error: impl std::fmt::Display) -> BuilderError {
    BuilderError::Tls {
        reason: error.to_string(),
    }
}

fn verifier(tls: &Tls, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, BuilderError> {
    if tls.skip_verify {
        return Ok(Arc::new(AnyCertificate(provider)));
    }
    let Some(ca) = &tls.ca else {
        let machines = rustls_platform_verifier::Verifier::new(provider).map_err(unusable)?;
        return Ok(Arc::new(machines));
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(broken(ca))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    Ok(verifier.map_err(broken(ca))?)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BuilderError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(broken(path))?.collect();
    let found = found.map_err(broken(path))?;
    match found.is_empty() {
        true => Err(broken(path)("there is no certificate in it")),
        false => Ok(found),
    }
}

impl Words {
    /// A failure in words that say who does not trust whom.
    fn explained(&self, error: io::Error) -> io::Error {
        let Some(reason) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            return error;
        };
        let text = match reason {
            Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                let authorities = match &self.ca {
                    Some(path) => format!("an authority in {}", path.display()),
                    None => "an authority that this machine trusts".to_owned(),
                };
                format!("its certificate is not signed by {authorities}")
            }
            Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => format!("its certificate is not for {}", self.name),
            Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                "its certificate has expired".to_owned()
            }
            Error::InvalidCertificate(other) => format!("its certificate is not to be trusted: {other}"),
            Error::AlertReceived(alert) if is_about_us(*alert) => self.refused(),
            Error::InvalidMessage(_) => "what answers there does not speak TLS".to_owned(),
            other => other.to_string(),
        };
        self.why.keep(io::Error::new(error.kind(), text))
    }

    /// For a server that ends the connection before it has said anything.
    fn closed(&self) -> io::Error {
        let text = format!("it closed the connection at once; perhaps {}", self.refused());
        self.why.keep(io::Error::other(text))
    }

    fn refused(&self) -> String {
        match &self.cert {
            Some(path) => format!("it does not accept the certificate {}", path.display()),
            None => "it wants to see a certificate of ours, and none is given".to_owned(),
        }
    }
}

/// Whether the server says something about our certificate.
fn is_about_us(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    [
        A::BadCertificate,
        A::UnsupportedCertificate,
        A::CertificateRevoked,
        A::CertificateExpired,
        A::CertificateUnknown,
        A::CertificateRequired,
        A::NoCertificate,
        A::UnknownCA,
        A::AccessDenied,
        A::HandshakeFailure,
    ]
    .contains(&alert)
}

/// A stream with TLS. In TLS 1.3 a server looks at our certificate when, for us, all is agreed on: what it thinks of it comes
/// as the first answer.
struct Agreed {
    stream: TlsStream<TcpStream>,
    words: Words,
    has_answered: bool,
}

impl Agreed {
    /// What the user reads for an error. The server's first answer tells, where it can still be had: it may have closed the
    /// connection while we wrote.
    fn failed(&mut self, cx: &mut Context<'_>, mut error: io::Error) -> io::Error {
        if !self.has_answered && error.kind() != io::ErrorKind::InvalidData {
            let mut space = [0; 1];
            if let Poll::Ready(Err(first)) = Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut space)) {
                error = first;
            }
        }
        match error.kind() {
            io::ErrorKind::InvalidData => self.words.explained(error),
            _ if self.has_answered => error,
            _ => self.words.closed(),
        }
    }
}

impl AsyncRead for Agreed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match ready!(Pin::new(&mut self.stream).poll_read(cx, buffer)) {
            Ok(()) if buffer.filled().len() > before => self.has_answered = true,
            Ok(()) if !self.has_answered => return Poll::Ready(Err(self.words.closed())),
            Ok(()) => {}
            Err(error) => return Poll::Ready(Err(self.failed(cx, error))),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Agreed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(result.map_err(|error| self.failed(cx, error)))
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(result.map_err(|error| self.failed(cx, error)))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Takes any certificate, as the user asked for. That the other side has its key is checked all the same.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
