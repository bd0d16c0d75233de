//! A TLS terminator in front of a plain server, with a certificate of its own making.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::Home;

/// Listens until the process ends.
pub struct Tls {
    pub address: SocketAddr,
    /// The file with the authority's certificate.
    pub ca: String,
}

/// A server's certificate, and the authority that made it.
pub struct Certificates {
    leaf: rcgen::Certificate,
    key: KeyPair,
    /// The file with the authority's certificate.
    pub ca: String,
}

impl Certificates {
    /// For these names.
    pub fn new(home: &Home, names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "the tests' own authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        Self { leaf, key, ca: home.file("server-ca.pem", authority.pem()) }
    }

    /// What makes a gateway greet with it.
    pub fn section(&self, home: &Home) -> String {
        home.file("server.pem", self.leaf.pem());
        home.file("server-key.pem", self.key.serialize_pem());
        "\n[tls]\ncert_file = \"server.pem\"\nkey_file = \"server-key.pem\"\n".to_owned()
    }
}

impl Tls {
    /// In front of `to`, for these names.
    pub fn start(home: &Home, names: &[&str], to: SocketAddr) -> Self {
        let Certificates { leaf, key, ca } = Certificates::new(home, names);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        Self { address: listen(TlsAcceptor::from(Arc::new(config)), to), ca }
    }
}

fn listen(acceptor: TlsAcceptor, to: SocketAddr) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Whoever breaks off is tested for it elsewhere.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let Ok(server) = TcpStream::connect(to).await else { return };
                    let (mut from_client, mut to_client) = tokio::io::split(stream);
                    let (mut from_server, mut to_server) = server.into_split();
                    // A server that answers before it has read everything still has its answer carried back, and what the
                    // client sends after that is read, so that no reset overtakes the answer.
                    let up = async {
                        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
                        let _ = to_server.shutdown().await;
                        let _ = tokio::io::copy(&mut from_client, &mut tokio::io::sink()).await;
                    };
                    let down = async {
                        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
                        let _ = to_client.shutdown().await;
                    };
                    tokio::join!(up, down);
                });
            }
        });
    });
    address
}
