//! [`Tls`]: the server's side of TLS, from a chain of certificates and a key in PEM. TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN,
//! no early data: a request that can be replayed is not taken (RFC 8470).
//!
//! It reads no file and does not look at a certificate's dates or names: clients do.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Certificates and a key, ready to greet with. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// Why certificates and a key cannot be used. No message repeats what was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No certificate was found.
    #[error("there is no certificate in it; write the chain in PEM, the server's own certificate first")]
    NoCertificate,
    /// A certificate cannot be read.
    #[error("a certificate in it cannot be read as PEM")]
    BadCertificate,
    /// No key was found, or it cannot be read.
    #[error("there is no private key in it that can be read; write it in PEM: PKCS #8, SEC 1 or PKCS #1")]
    BadKey,
    /// The key does not belong to the certificate.
    #[error("the key does not belong to the first certificate of the chain")]
    KeyMismatch,
    /// rustls refuses them.
    #[error("they cannot be used for TLS: {why}")]
    Unusable {
        /// What it says.
        why: String,
    },
}

impl TlsError {
    /// The stable code of the broken rule, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoCertificate => "tls_no_certificate",
            Self::BadCertificate => "tls_bad_certificate",
            Self::BadKey => "tls_bad_key",
            Self::KeyMismatch => "tls_key_mismatch",
            Self::Unusable { .. } => "tls_unusable",
        }
    }

    /// Whether it is about the key, and not about the certificates.
    #[must_use]
    pub const fn is_about_key(&self) -> bool {
        matches!(self, Self::BadKey | Self::KeyMismatch)
    }
}

impl Tls {
    /// TLS with this chain, the server's own certificate first, and its key.
    ///
    /// # Errors
    /// [`TlsError`]: the first thing that is wrong.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let certificates = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| TlsError::BadCertificate)?;
        if certificates.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::BadKey)?;
        // Named, because another crate in the program may bring another provider.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| unusable(&error))?
            .with_no_client_auth()
            .with_single_cert(certificates, key);
        let mut config = config.map_err(|error| unusable(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.max_early_data_size = 0;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// A TLS stream from a connection. Somebody who speaks HTTP in the clear is told so.
    pub(super) async fn greet(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        /// The kind of record that a TLS greeting is.
        const HANDSHAKE: u8 = 0x16;
        let mut first = [0];
        let peeked = stream.peek(&mut first).await?;
        if peeked == 1 && first[0] != HANDSHAKE {
            return Err(turn_away(stream).await);
        }
        self.acceptor.accept(stream).await
    }
}

fn unusable(error: &rustls::Error) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => TlsError::KeyMismatch,
        other => TlsError::Unusable { why: other.to_string() },
    }
}

/// Says in the clear that TLS is wanted. Nothing of what was sent is read as a request.
async fn turn_away(mut stream: TcpStream) -> io::Error {
    /// What is read of a request that is not looked at, so that the connection does not break before the answer is there.
    const MOST: u64 = 64 * 1024;
    let code = "tls_required";
    let detail = "This port speaks TLS: use https.";
    let body = serde_json::json!({
        "type": "about:blank", "title": "Bad Request", "status": 400, "detail": detail, "code": code,
    });
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let said = async {
        stream.write_all((head + &body).as_bytes()).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(MOST), &mut tokio::io::sink()).await
    };
    said.await.err().unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it was not TLS"))
}

#[cfg(test)]
mod tests;
