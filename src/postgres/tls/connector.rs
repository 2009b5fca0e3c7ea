//! How a TLS session with a server comes about: what is offered, what is believed, and what is checked at the end.

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
use crate::libpq::{Host, ProtocolVersion, SslMode, SslNegotiation, Tls};
use crate::postgres::socket::Socket;

const PROTOCOL: &[u8] = b"postgresql";

/// What a TLS session needs, read from the client's files.
pub(in crate::postgres) struct Connector {
    context: SslContext,
    verifies: bool,
    verifies_name: bool,
    is_direct: bool,
    sni: bool,
    least: Option<SslVersion>,
    most: Option<SslVersion>,
}

impl Connector {
    /// Reads them. Blocks on files.
    ///
    /// # Errors
    /// A file cannot be used, or is missing and cannot be done without.
    pub(super) fn read(tls: &Tls) -> Result<Self, TlsError> {
        let mut context = SslContext::builder(SslMethod::tls_client()).map_err(TlsError::Setup)?;
        // The driver may add to what it has to send between two tries, and idle sessions need no buffers.
        context.set_mode(Mode::ACCEPT_MOVING_WRITE_BUFFER | Mode::ENABLE_PARTIAL_WRITE | Mode::RELEASE_BUFFERS);
        // Each session stands for itself: none is resumed, and no server asks for another handshake in one.
        context.set_options(SslOptions::NO_COMPRESSION | SslOptions::NO_RENEGOTIATION | SslOptions::NO_TICKET);
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        let (least, most) = bound(&mut context, tls).map_err(TlsError::Setup)?;
        let protocols = [&[PROTOCOL.len() as u8], PROTOCOL].concat();
        context.set_alpn_protos(&protocols).map_err(TlsError::Setup)?;
        let verifies = certificates::trust(&mut context, tls)?;
        certificates::introduce(&mut context, tls)?;
        Ok(Self {
            context: context.build(),
            verifies,
            verifies_name: tls.mode == SslMode::VerifyFull,
            is_direct: tls.negotiation == SslNegotiation::Direct,
            sni: tls.sni,
            least,
            most,
        })
    }

    /// Shakes hands, and sees that the server is who it should be.
    ///
    /// # Errors
    /// It is not, or refuses, or there is nothing that both can speak.
    pub(in crate::postgres) async fn connect(&self, socket: Socket, host: &Host) -> Result<Stream, TlsError> {
        let noticed = Arc::<OnceLock<BadCertificate>>::default();
        let ssl = self.session(host, &noticed).map_err(TlsError::Setup)?;
        let mut stream = SslStream::new(ssl, socket).map_err(TlsError::Setup)?;
        if let Err(error) = Pin::new(&mut stream).connect().await {
            return Err(match noticed.get() {
                Some(certificate) => certificate.clone().into(),
                None => TlsError::of_handshake(error, self.least, self.most),
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
            // Servers before PostgreSQL 17 know nothing of it.
            None if self.is_direct => return Err(TlsError::NoProtocol),
            None => {}
        }
        let Some(certificate) = ssl.peer_certificate() else {
            return Err(TlsError::Handshake("the server has shown no certificate".to_owned()));
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

/// Gives the oldest version that is allowed, and the newest. What has no bound is left to the system's configuration of
/// OpenSSL.
pub(super) fn bound(
    context: &mut SslContextBuilder,
    tls: &Tls,
) -> Result<(Option<SslVersion>, Option<SslVersion>), ErrorStack> {
    let (least, most) = (tls.least.map(version), tls.most.map(version));
    if least.is_some() {
        context.set_min_proto_version(least)?;
    }
    if most.is_some() {
        context.set_max_proto_version(most)?;
    }
    Ok((least, most))
}

/// A server can be asked for by name, not by address (RFC 6066).
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
