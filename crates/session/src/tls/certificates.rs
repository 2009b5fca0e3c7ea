//! The client's files: root certificates, certificate revocation lists, and the client certificate with its key.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::Path;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslContextBuilder, SslFiletype};
use openssl::x509::X509;
use openssl::x509::store::X509Lookup;
use openssl::x509::verify::X509VerifyFlags;

use super::TlsError;
use super::error::in_short;
use libpq::Secret;
use libpq::private_file::is_open_to_others;
use libpq::{ClientFile, RootCertificates, SslCertMode, SslMode, Tls};

/// The files that are read, whether they exist or not. Files in the CRL directory are not listed.
pub(crate) fn files(tls: &Tls) -> impl Iterator<Item = &Path> {
    let root = match &tls.root_certificates {
        RootCertificates::File(file) => Some(file),
        RootCertificates::System => None,
    };
    let own = [&tls.certificate, &tls.key].into_iter().filter(|_| tls.certificate_mode != SslCertMode::Disable);
    root.into_iter().chain([&tls.crl]).chain(own).filter_map(path)
}

/// Loads the root certificates. Without any, certificates are not verified, unless `sslmode` requires it.
///
/// Returns whether certificates are verified.
pub(crate) fn load_roots(context: &mut SslContextBuilder, tls: &Tls) -> Result<bool, TlsError> {
    match &tls.root_certificates {
        RootCertificates::System => {
            context.set_default_verify_paths().map_err(TlsError::Setup)?;
            // The default CRL file belongs to the default root certificates.
            let default = None;
            load_revocations(context, tls, default)?;
            Ok(true)
        }
        RootCertificates::File(file) => {
            let path = path(file);
            match path.filter(|_| is_there(file)) {
                Some(path) => {
                    let what = "root certificate";
                    read(what, path)?;
                    context.load_verify_locations(Some(path), None).map_err(|error| {
                        unusable(what, path, format!("contains no certificate: {}", in_short(&error)))
                    })?;
                    let default = path_of_default(&tls.crl).filter(|path| path.exists());
                    load_revocations(context, tls, default)?;
                    Ok(true)
                }
                None if matches!(tls.mode, SslMode::VerifyCa | SslMode::VerifyFull) => {
                    Err(TlsError::NoRootCertificate { looked_in: path.map(Path::to_owned) })
                }
                None => Ok(false),
            }
        }
    }
}

/// Loads the revocation lists, from the given file or else the default file. libpq ignores a given file that cannot be
/// read; here it is an error, because the user relies on it.
fn load_revocations(context: &mut SslContextBuilder, tls: &Tls, default: Option<&Path>) -> Result<(), TlsError> {
    let named = match &tls.crl {
        ClientFile::Named(file) => Some(file.as_path()),
        ClientFile::Default(_) | ClientFile::Nowhere => None,
    };
    let directory = tls.crl_directory.as_deref();
    let file = named.or(default.filter(|_| directory.is_none()));
    let store = context.cert_store_mut();
    if let Some(file) = file {
        let what = "certificate revocation list";
        read(what, file)?;
        let lookup = store.add_lookup(X509Lookup::file()).map_err(TlsError::Setup)?;
        lookup
            .load_crl_file(file, SslFiletype::PEM)
            .map_err(|error| unusable(what, file, format!("contains no list: {}", in_short(&error))))?;
    }
    if let Some(directory) = directory {
        let what = "directory of certificate revocation lists";
        fs::read_dir(directory).map_err(|error| unreadable(what, directory, &error))?;
        let name = directory.to_str().ok_or_else(|| unusable(what, directory, "has a name that is not UTF-8"))?;
        let lookup = store.add_lookup(X509Lookup::hash_dir()).map_err(TlsError::Setup)?;
        lookup.add_dir(name, SslFiletype::PEM).map_err(TlsError::Setup)?;
    }
    if file.or(directory).is_some() {
        store.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL).map_err(TlsError::Setup)?;
    }
    Ok(())
}

/// Loads the client certificate and its key. A missing certificate is not an error; the server decides whether it needs
/// one.
pub(crate) fn load_own(context: &mut SslContextBuilder, tls: &Tls) -> Result<(), TlsError> {
    let what = "certificate";
    let Some(file) = path(&tls.certificate).filter(|_| tls.certificate_mode != SslCertMode::Disable) else {
        return Ok(());
    };
    match fs::metadata(file) {
        Ok(_) => {}
        Err(error) if is_missing(&error) => return Ok(()),
        Err(error) => return Err(unreadable(what, file, &error)),
    }
    let broken = |error: ErrorStack| unusable(what, file, format!("cannot be used: {}", in_short(&error)));
    let mut chain = X509::stack_from_pem(&read(what, file)?).map_err(broken)?.into_iter();
    let certificate = chain.next().ok_or_else(|| unusable(what, file, "contains no certificate"))?;
    context.set_certificate(&certificate).map_err(broken)?;
    for authority in chain {
        context.add_extra_chain_cert(authority).map_err(broken)?;
    }
    let Some(key_file) = path(&tls.key) else {
        return Err(unusable(what, file, "has no private key: sslkey is not set, and there is no home directory"));
    };
    let key = private_key(key_file, tls.password.as_ref())?;
    let is_its_own = certificate.public_key().is_ok_and(|public| public.public_eq(&key));
    if !is_its_own {
        return Err(unusable(what, file, format!("does not match the private key {}", key_file.display())));
    }
    context.set_private_key(&key).map_err(TlsError::Setup)
}

/// Reads a private key that only the owner can read. Never asks for a password on the terminal.
fn private_key(file: &Path, password: Option<&Secret>) -> Result<PKey<Private>, TlsError> {
    let what = "private key";
    let metadata = fs::metadata(file).map_err(|error| {
        let may_be_of_an_engine = file.to_string_lossy().contains(':');
        if is_missing(&error) && may_be_of_an_engine {
            unusable(what, file, "does not exist; keys in an OpenSSL engine (engine:key) are not supported")
        } else if is_missing(&error) {
            unusable(what, file, "does not exist, but its certificate does")
        } else {
            unreadable(what, file, &error)
        }
    })?;
    if !metadata.is_file() {
        return Err(unusable(what, file, "is not a regular file"));
    }
    if is_open_to_others(&metadata) {
        let reason = "can be used by others; set its mode to 0600 or less, or to 0640 or less if root owns it";
        return Err(unusable(what, file, reason));
    }
    let bytes = read(what, file)?;
    let is_encrypted = Cell::new(false);
    let copy_password = |into: &mut [u8]| {
        is_encrypted.set(true);
        let password = password.map_or(&[][..], |password| password.reveal().as_bytes());
        let length = password.len().min(into.len());
        into[..length].copy_from_slice(&password[..length]);
        Ok(length)
    };
    let ways: [&dyn Fn() -> Result<PKey<Private>, ErrorStack>; 3] = [
        &|| PKey::private_key_from_pem_callback(&bytes, copy_password),
        &|| PKey::private_key_from_der(&bytes),
        &|| PKey::private_key_from_pkcs8_callback(&bytes, copy_password),
    ];
    for way in ways {
        match way() {
            Ok(key) => return Ok(key),
            // The remaining formats are not encrypted in this way.
            Err(error) if is_encrypted.get() => {
                return Err(match password {
                    None => unusable(what, file, "is encrypted, but sslpassword is not set"),
                    Some(_) => {
                        let reason = format!("cannot be decrypted with the sslpassword: {}", in_short(&error));
                        unusable(what, file, reason)
                    }
                });
            }
            Err(_) => {}
        }
    }
    Err(unusable(what, file, "contains no key in PEM or DER format"))
}

fn path(file: &ClientFile) -> Option<&Path> {
    match file {
        ClientFile::Named(path) | ClientFile::Default(path) => Some(path),
        ClientFile::Nowhere => None,
    }
}

fn path_of_default(file: &ClientFile) -> Option<&Path> {
    match file {
        ClientFile::Default(path) => Some(path),
        ClientFile::Named(_) | ClientFile::Nowhere => None,
    }
}

/// A default file that cannot be accessed counts as missing: a service may have no access to the home directory. For a
/// given file, reading it reports the error.
fn is_there(file: &ClientFile) -> bool {
    match file {
        ClientFile::Named(path) => !fs::metadata(path).is_err_and(|error| is_missing(&error)),
        ClientFile::Default(path) => path.exists(),
        ClientFile::Nowhere => false,
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read(what: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|error| unreadable(what, file, &error))
}

fn unreadable(what: &'static str, file: &Path, error: &io::Error) -> TlsError {
    unusable(what, file, format!("cannot be read: {error}"))
}

fn unusable(what: &'static str, file: &Path, reason: impl Into<String>) -> TlsError {
    TlsError::File { what, file: file.to_owned(), reason: reason.into() }
}
