//! HTTPS: the server's certificate and key. TLS 1.2 or newer, with the ciphers of Mozilla's intermediate profile.

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::X509;

use super::startup::{Error, invalid_file};
use crate::config::Identity;

/// Makes an acceptor from the contents of the PEM files.
///
/// # Errors
/// They do not contain a certificate and its private key.
pub(super) fn acceptor(identity: &Identity, certificate: &[u8], key: &[u8]) -> Result<SslAcceptor, Error> {
    const CERTIFICATE: &str = "http.certificate";
    const KEY: &str = "http.key";
    let unusable = |key, file, error: ErrorStack| {
        let first = error.errors().first().and_then(|error| error.reason()).unwrap_or("it is not a PEM file");
        invalid_file(key, file, format!("cannot be used: {first}"))
    };
    let chain = X509::stack_from_pem(certificate);
    let mut chain = chain.map_err(|error| unusable(CERTIFICATE, &identity.certificate, error))?.into_iter();
    let own =
        chain.next().ok_or_else(|| invalid_file(CERTIFICATE, &identity.certificate, "contains no certificate"))?;
    // OpenSSL would ask for the password of an encrypted key on the terminal: an empty one makes it fail instead.
    let key = PKey::private_key_from_pem_callback(key, |_| Ok(0));
    let key = key.map_err(|error| unusable(KEY, &identity.key, error))?;
    if !own.public_key()?.public_eq(&key) {
        return Err(invalid_file(KEY, &identity.key, "is not the key of \"http.certificate\""));
    }
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_certificate(&own)?;
    for authority in chain {
        builder.add_extra_chain_cert(authority)?;
    }
    builder.set_private_key(&key)?;
    Ok(builder.build())
}
