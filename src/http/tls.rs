//! HTTPS: the certificate that is shown, and the key that proves it. TLS 1.2 or newer, with Mozilla's choice of ciphers.

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::X509;

use super::prepared::{Error, unusable};
use crate::config::Identity;

/// Reads what is in the files.
///
/// # Errors
/// They hold no certificate with its key.
pub(super) fn acceptor(identity: &Identity, certificate: &[u8], key: &[u8]) -> Result<SslAcceptor, Error> {
    let (in_certificate, in_key) = ("http.certificate", "http.key");
    let broken = |key, file, error: ErrorStack| {
        let first = error.errors().first().and_then(|error| error.reason()).unwrap_or("it is no PEM");
        unusable(key, file, format!("cannot be used: {first}"))
    };
    let chain = X509::stack_from_pem(certificate);
    let mut chain = chain.map_err(|error| broken(in_certificate, &identity.certificate, error))?.into_iter();
    let own = chain.next().ok_or_else(|| unusable(in_certificate, &identity.certificate, "holds none"))?;
    // With a password that is none: nobody is asked for one on the terminal.
    let key = PKey::private_key_from_pem_callback(key, |_| Ok(0));
    let key = key.map_err(|error| broken(in_key, &identity.key, error))?;
    if !own.public_key()?.public_eq(&key) {
        return Err(unusable(in_key, &identity.key, "is not the key of \"http.certificate\""));
    }
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_certificate(&own)?;
    for authority in chain {
        builder.add_extra_chain_cert(authority)?;
    }
    builder.set_private_key(&key)?;
    Ok(builder.build())
}
