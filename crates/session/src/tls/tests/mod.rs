//! Real handshakes with an OpenSSL server.

mod issuer;
mod own_files;
mod servers;
mod sharing;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use issuer::{Issued, PLAIN, Wish};
use openssl::ssl::{AlpnError, Ssl, SslContext, SslContextBuilder, SslMethod, SslVerifyMode, select_next_proto};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio_openssl::SslStream;
use tokio_util::either::Either;

use super::{Connector, Connectors, Stream, TlsError};
use libpq::{ClientFile, Host, Location, RootCertificates, SslCertMode, SslMode, SslNegotiation, Tls};

/// The client's directory and its parameters.
struct Client {
    directory: TempDir,
    tls: Tls,
    host: Host,
    connectors: Connectors,
}

impl Client {
    /// A client without files.
    fn new(mode: SslMode) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let default = |name| ClientFile::Default(directory.path().join(name));
        let tls = Tls {
            mode,
            negotiation: SslNegotiation::Postgres,
            root_certificates: RootCertificates::File(default("root.crt")),
            certificate: default("postgresql.crt"),
            key: default("postgresql.key"),
            certificate_mode: SslCertMode::Allow,
            password: None,
            crl: default("root.crl"),
            crl_directory: None,
            sni: true,
            min_version: None,
            max_version: None,
        };
        let host = Host { name: String::new(), location: Location::Name, port: 5432 };
        let mut client = Self { directory, tls, host, connectors: Connectors::default() };
        client.asks_for("db.example.com");
        client
    }

    /// A client that trusts an authority.
    fn trusting(mode: SslMode, root: &Issued) -> Self {
        let client = Self::new(mode);
        client.write("root.crt", &root.pem());
        client
    }

    fn asks_for(&mut self, host: &str) {
        self.host.name = host.to_owned();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn shows(&self, issued: &Issued) {
        self.write("postgresql.crt", &issued.pem());
        self.write("postgresql.key", &issued.key_pem());
    }

    fn connector(&self) -> Result<Arc<Connector>, TlsError> {
        self.connectors.read(&self.tls)
    }

    /// The error in its files.
    fn complaint(&self) -> String {
        let error = self.connector().err().unwrap();
        assert!(!error.is_lost());
        error.to_string()
    }

    /// Connects, and runs the server's end until it closes.
    async fn meets(&self, server: SslContextBuilder) -> (Result<Stream, TlsError>, Option<SslStream<UnixStream>>) {
        let connector = self.connector().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut theirs = SslStream::new(Ssl::new(&server.build()).unwrap(), theirs).unwrap();
        let serving = async {
            let accepted = Pin::new(&mut theirs).accept().await;
            accepted.ok().map(|()| theirs)
        };
        tokio::join!(connector.connect(Either::Right(ours), &self.host), serving)
    }

    async fn is_content_with(&self, server: SslContextBuilder) -> Stream {
        let (ours, theirs) = self.meets(server).await;
        assert!(theirs.is_some());
        ours.unwrap()
    }

    /// Why it refuses a server.
    async fn refuses(&self, server: SslContextBuilder) -> TlsError {
        self.meets(server).await.0.err().unwrap()
    }
}

/// A server with a certificate, which speaks "postgresql".
fn server(certificate: &Issued) -> SslContextBuilder {
    let mut context = SslContext::builder(SslMethod::tls_server()).unwrap();
    context.set_certificate(&certificate.certificate).unwrap();
    context.set_private_key(&certificate.key).unwrap();
    context.set_alpn_select_callback(|_, offered| {
        select_next_proto(b"\x0apostgresql", offered).ok_or(AlpnError::ALERT_FATAL)
    });
    context
}

/// A server that requires a certificate of this authority.
fn strict_server(certificate: &Issued, root: &Issued) -> SslContextBuilder {
    let mut context = server(certificate);
    context.cert_store_mut().add_cert(root.certificate.clone()).unwrap();
    context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    context
}
