//! The TLS handshake: what is offered, which certificates are accepted, and what is checked afterwards.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use openssl::error::ErrorStack;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslMode as Mode, SslOptions, SslRef, SslSessionCacheMode,
    SslVerifyMode, SslVersion,
};
use tokio_openssl::SslStream;

use super::error::BadCertificate;
use super::server_name::Names;
use super::{Stream, TlsError, certificates};
use crate::socket::Socket;
use libpq::{Host, ProtocolVersion, SslMode, SslNegotiation, Tls};

const PROTOCOL: &[u8] = b"postgresql";

/// The TLS settings of a client, with its files loaded.
pub struct Connector {
    context: SslContext,
    verifies: bool,
    verifies_name: bool,
    is_direct: bool,
    sni: bool,
    min_version: Option<SslVersion>,
    max_version: Option<SslVersion>,
}

impl Connector {
    /// Loads the files. Blocks.
    ///
    /// # Errors
    /// A file is unusable, or a required file is missing.
    pub(crate) fn read(tls: &Tls) -> Result<Self, TlsError> {
        let mut context = SslContext::builder(SslMethod::tls_client()).map_err(TlsError::Setup)?;
        // The driver may extend its buffer between two writes, and idle sessions need no buffers.
        context.set_mode(Mode::ACCEPT_MOVING_WRITE_BUFFER | Mode::ENABLE_PARTIAL_WRITE | Mode::RELEASE_BUFFERS);
        // Sessions are never resumed or renegotiated.
        context.set_options(SslOptions::NO_COMPRESSION | SslOptions::NO_RENEGOTIATION | SslOptions::NO_TICKET);
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        let (min_version, max_version) = bound(&mut context, tls).map_err(TlsError::Setup)?;
        let protocols = [&[PROTOCOL.len() as u8], PROTOCOL].concat();
        context.set_alpn_protos(&protocols).map_err(TlsError::Setup)?;
        let verifies = certificates::load_roots(&mut context, tls)?;
        certificates::load_own(&mut context, tls)?;
        Ok(Self {
            context: context.build(),
            verifies,
            verifies_name: tls.mode == SslMode::VerifyFull,
            is_direct: tls.negotiation == SslNegotiation::Direct,
            sni: tls.sni,
            min_version,
            max_version,
        })
    }

    /// Performs the handshake and verifies the server.
    ///
    /// # Errors
    /// The server cannot be verified or refuses the handshake, or both have no protocol version in common.
    pub async fn connect(&self, socket: Socket, host: &Host) -> Result<Stream, TlsError> {
        let noticed = Arc::<OnceLock<BadCertificate>>::default();
        let ssl = self.session(host, &noticed).map_err(TlsError::Setup)?;
        let mut stream = SslStream::new(ssl, socket).map_err(TlsError::Setup)?;
        if let Err(error) = Pin::new(&mut stream).connect().await {
            return Err(match noticed.get() {
                Some(certificate) => certificate.clone().into(),
                None => TlsError::of_handshake(error, self.min_version, self.max_version),
            });
        }
        self.check(stream.ssl(), host)?;
        Ok(Stream::encrypted(stream))
    }

    fn session(&self, host: &Host, noticed: &Arc<OnceLock<BadCertificate>>) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        if self.sni && may_be_asked_for(&host.name) {
            ssl.set_hostname(&host.name)?;
        }
        if self.verifies {
            let noticed = Arc::clone(noticed);
            ssl.set_verify_callback(SslVerifyMode::PEER, move |is_good, verification| {
                if !is_good {
                    let _ = noticed.set(BadCertificate::found(verification));
                }
                is_good
            });
        } else {
            ssl.set_verify(SslVerifyMode::NONE);
        }
        Ok(ssl)
    }

    fn check(&self, ssl: &SslRef, host: &Host) -> Result<(), TlsError> {
        match ssl.selected_alpn_protocol() {
            Some(PROTOCOL) => {}
            Some(_) => return Err(TlsError::OtherProtocol),
            // ALPN is supported since PostgreSQL 17.
            None if self.is_direct => return Err(TlsError::NoProtocol),
            None => {}
        }
        let Some(certificate) = ssl.peer_certificate() else {
            return Err(TlsError::Handshake("the server sent no certificate".to_owned()));
        };
        if self.verifies_name {
            let names = Names::of(&certificate);
            if !names.are_for(&host.name) {
                return Err(TlsError::OtherName { wanted: host.name.clone(), names: names.listed() });
            }
        }
        Ok(())
    }
}

/// Sets the oldest and the newest allowed version, and returns them. A missing bound is left to the system's OpenSSL
/// configuration.
pub(crate) fn bound(
    context: &mut SslContextBuilder,
    tls: &Tls,
) -> Result<(Option<SslVersion>, Option<SslVersion>), ErrorStack> {
    let (min_version, max_version) = (tls.min_version.map(version), tls.max_version.map(version));
    if min_version.is_some() {
        context.set_min_proto_version(min_version)?;
    }
    if max_version.is_some() {
        context.set_max_proto_version(max_version)?;
    }
    Ok((min_version, max_version))
}

/// SNI allows names, not addresses (RFC 6066).
fn may_be_asked_for(name: &str) -> bool {
    let is_v4 = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    !is_v4 && !name.contains(':') && !name.contains('\0')
}

fn version(version: ProtocolVersion) -> SslVersion {
    match version {
        ProtocolVersion::Tls1_0 => SslVersion::TLS1,
        ProtocolVersion::Tls1_1 => SslVersion::TLS1_1,
        ProtocolVersion::Tls1_2 => SslVersion::TLS1_2,
        ProtocolVersion::Tls1_3 => SslVersion::TLS1_3,
    }
}
