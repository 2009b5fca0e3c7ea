//! Tests of the client's files.

use std::os::unix::fs::{MetadataExt, chown};

use openssl::pkey::PKey;
use openssl::symm::Cipher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::Config;

use super::super::AlreadyEncrypted;
use super::*;
use crate::{Error, Side};
use libpq::Secret;

/// A client with a certificate of the authority that its server requires.
fn invited() -> (Issued, Issued, Client) {
    let root = Issued::root("root");
    let client = Client::trusting(SslMode::VerifyFull, &root);
    let own = root.issues(&Wish { common_name: "powa", dns: &[], ..PLAIN });
    client.shows(&own);
    (root, own, client)
}

#[tokio::test]
async fn a_certificate_is_shown_with_all_that_is_in_its_file() {
    let (root, own, client) = invited();
    let certificate = root.issues(&PLAIN);
    let (ours, theirs) = client.meets(strict_server(&certificate, &root)).await;
    assert!(ours.is_ok());
    let shown = theirs.unwrap().ssl().peer_certificate().unwrap();
    assert_eq!(shown.to_der().unwrap(), own.certificate.to_der().unwrap());

    let between = root.issues(&Wish { common_name: "between", dns: &[], is_authority: true, ..PLAIN });
    let own = between.issues(&PLAIN);
    client.shows(&own);
    client.refuses_after_all(strict_server(&certificate, &root)).await;
    client.write("postgresql.crt", &[own.pem(), between.pem()].concat());
    client.is_content_with(strict_server(&certificate, &root)).await;
}

#[tokio::test]
async fn files_are_read_again_for_each_connection() {
    let (root, _, client) = invited();
    let own = root.issues(&Wish { common_name: "renewed", dns: &[], ..PLAIN });
    client.shows(&own);
    let (_ours, theirs) = client.meets(strict_server(&root.issues(&PLAIN), &root)).await;
    let shown = theirs.unwrap().ssl().peer_certificate().unwrap();
    assert_eq!(shown.to_der().unwrap(), own.certificate.to_der().unwrap());
}

impl Client {
    /// The server's alert about our certificate, which arrives after the handshake.
    async fn refuses_after_all(&self, server: SslContextBuilder) -> String {
        let mut ours = self.meets(server).await.0.unwrap();
        ours.read_u8().await.unwrap_err().to_string()
    }

    /// The same, if the server has closed the connection before the first write.
    async fn refuses_without_a_word_of_ours(&self, server: SslContextBuilder) -> String {
        let mut ours = self.meets(server).await.0.unwrap();
        ours.write_u8(0).await.unwrap_err().to_string()
    }
}

#[tokio::test]
async fn the_servers_reason_for_refusing_our_certificate_is_in_the_error() {
    let (root, _, mut client) = invited();
    let certificate = root.issues(&PLAIN);
    client.tls.certificate_mode = SslCertMode::Disable;
    let error = client.refuses_after_all(strict_server(&certificate, &root)).await;
    assert_eq!(
        error,
        "the server refused the connection: the server requires a client certificate (sslcert), but got none, alert 116"
    );
    client.tls.certificate_mode = SslCertMode::Allow;
    client.shows(&Issued::root("stranger").issues(&PLAIN));
    let error = client.refuses_after_all(strict_server(&certificate, &root)).await;
    assert!(error.contains("the server does not know the authority of our certificate"), "{error}");
    client.shows(&root.issues(&Wish { valid: (-9, -2), ..PLAIN }));
    let error = client.refuses_after_all(strict_server(&certificate, &root)).await;
    assert!(error.contains("our certificate has expired"), "{error}");
    let error = client.refuses_without_a_word_of_ours(strict_server(&certificate, &root)).await;
    assert!(error.contains("our certificate has expired"), "{error}");
    // With TLS 1.2, it arrives in the handshake.
    client.tls.max_version = Some(libpq::ProtocolVersion::Tls1_2);
    let error = client.refuses(strict_server(&certificate, &root)).await.to_string();
    assert!(error.contains("our certificate has expired"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_the_server_refuses_is_not_waited_for() {
    let (root, _, mut client) = invited();
    client.shows(&Issued::root("stranger").issues(&PLAIN));
    let certificate = root.issues(&PLAIN);
    // With TLS 1.3, the handshake succeeds, and the alert arrives when the session begins.
    let ours = client.meets(strict_server(&certificate, &root)).await.0.unwrap();
    let error = logged_in_through(ours).await;
    assert!(error.to_string().contains("the server does not know the authority of our certificate"), "{error}");
    assert!(!error.is_transient());
    client.tls.max_version = Some(libpq::ProtocolVersion::Tls1_2);
    assert!(!client.refuses(strict_server(&certificate, &root)).await.is_lost());
    // A lost connection is transient.
    client.tls.certificate_mode = SslCertMode::Disable;
    for most in [libpq::ProtocolVersion::Tls1_2, libpq::ProtocolVersion::Tls1_3] {
        client.tls.max_version = Some(most);
        let (ours, theirs) = client.meets(server(&certificate)).await;
        drop(theirs.unwrap());
        let error = logged_in_through(ours.unwrap()).await;
        assert!(error.is_transient(), "{error}");
    }
}

/// The error of a login that cannot succeed.
async fn logged_in_through(stream: Stream) -> Error {
    let mut config = Config::new();
    config.user("powa").ssl_mode(tokio_postgres::config::SslMode::Require);
    config.ssl_negotiation(tokio_postgres::config::SslNegotiation::Direct);
    let error = config.connect_raw(stream, AlreadyEncrypted).await.err().unwrap();
    Error::new(Side::Repository, "connect", error)
}

#[test]
fn a_certificate_that_is_not_there_is_none() {
    let mut client = Client::new(SslMode::Require);
    for certificate in [
        ClientFile::Nowhere,
        ClientFile::Named(client.path("nothing")),
        ClientFile::Named(client.write("file", b"").join("below")),
        ClientFile::Default(client.path("nothing")),
    ] {
        client.tls.certificate = certificate;
        client.connector().unwrap();
    }
    client.tls.certificate = ClientFile::Named(client.path(""));
    assert!(client.complaint().contains("cannot be read: Is a directory"));
    for broken in [&b""[..], b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        client.tls.certificate = ClientFile::Named(client.write("broken", broken));
        let complaint = client.complaint();
        assert!(complaint.starts_with("the certificate /"), "{complaint}");
        client.tls.certificate_mode = SslCertMode::Disable;
        client.connector().unwrap();
        client.tls.certificate_mode = SslCertMode::Allow;
    }
}

#[test]
fn a_certificate_needs_its_own_key() {
    let (root, own, mut client) = invited();
    client.connector().unwrap();
    client.write("postgresql.key", &root.key_pem());
    assert!(client.complaint().contains("does not match the private key"));
    client.tls.key = ClientFile::Nowhere;
    assert!(client.complaint().contains("there is no home directory"));
    client.tls.key = ClientFile::Named(client.path("nothing"));
    assert!(client.complaint().ends_with("/nothing does not exist, but its certificate does"));
    client.tls.key = ClientFile::Named(client.path(""));
    assert!(client.complaint().ends_with("is not a regular file"));
    client.tls.key = ClientFile::Named(client.write("broken", &own.pem()));
    assert!(client.complaint().ends_with("contains no key in PEM or DER format"));
    client.tls.key = ClientFile::Named("pkcs11:mine".into());
    assert!(client.complaint().ends_with("keys in an OpenSSL engine (engine:key) are not supported"));
    // A certificate and its key may share a file.
    client.tls.key = ClientFile::Named(client.write("both", &[own.pem(), own.key_pem()].concat()));
    client.connector().unwrap();
}

#[test]
fn a_key_that_others_can_use_is_not_used() {
    let (_, _, client) = invited();
    let key = client.path("postgresql.key");
    let set = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
    let is_roots = fs::metadata(&key).unwrap().uid() == 0;
    for (mode, for_root, for_others) in [
        (0o600, true, true),
        (0o700, true, true),
        (0o640, true, false),
        (0o660, false, false),
        (0o650, false, false),
        (0o604, false, false),
        (0o644, false, false),
        (0o601, false, false),
    ] {
        set(mode);
        assert_eq!(client.connector().is_ok(), if is_roots { for_root } else { for_others }, "{mode:o}");
        if client.connector().is_err() {
            assert!(client.complaint().contains("can be used by others; set its mode to 0600 or less"));
        }
    }
    // As root, the owner can be changed without losing access.
    if is_roots {
        chown(&key, Some(1234), None).unwrap();
        set(0o640);
        assert!(client.complaint().contains("can be used by others"));
        set(0o600);
        client.connector().unwrap();
    }
}

#[test]
fn a_key_may_be_encrypted_and_its_password_is_not_asked_for() {
    let (_, own, mut client) = invited();
    let (cipher, password) = (Cipher::aes_256_cbc(), "open sesame é");
    let traditional = own.key.ec_key().unwrap().private_key_to_pem_passphrase(cipher, password.as_bytes()).unwrap();
    let pkcs8 = own.key.private_key_to_pem_pkcs8_passphrase(cipher, password.as_bytes()).unwrap();
    let der = own.key.private_key_to_pkcs8_passphrase(cipher, password.as_bytes()).unwrap();
    for key in [traditional, pkcs8, der] {
        client.write("postgresql.key", &key);
        client.tls.password = Some(Secret::new(password.to_owned()));
        client.connector().unwrap();
        for wrong in ["open sesame", "", &"x".repeat(5000)] {
            client.tls.password = Some(Secret::new(wrong.to_owned()));
            let complaint = client.complaint();
            let message = "postgresql.key cannot be decrypted with the sslpassword: ";
            assert!(complaint.contains(message), "{complaint}");
        }
        client.tls.password = None;
        let complaint = client.complaint();
        assert!(complaint.ends_with("postgresql.key is encrypted, but sslpassword is not set"), "{complaint}");
    }
    // With an unknown cipher.
    let aes_256_cbc = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];
    let mut der = own.key.private_key_to_pkcs8_passphrase(cipher, password.as_bytes()).unwrap();
    let at = der.windows(aes_256_cbc.len()).position(|bytes| bytes == aes_256_cbc).unwrap();
    der[at + aes_256_cbc.len() - 1] = 0x7f;
    client.write("postgresql.key", &der);
    client.tls.password = Some(Secret::new(password.to_owned()));
    let complaint = client.complaint();
    assert!(complaint.contains("with the sslpassword: ") && complaint.contains("unsupported cipher"), "{complaint}");
    // An unneeded password is ignored.
    client.tls.password = Some(Secret::new(password.to_owned()));
    for key in [own.key_pem(), own.key.private_key_to_der().unwrap(), own.key.private_key_to_pkcs8().unwrap()] {
        client.write("postgresql.key", &key);
        client.connector().unwrap();
    }
    let other = PKey::ec_gen("P-256").unwrap().private_key_to_der().unwrap();
    client.write("postgresql.key", &other);
    assert!(client.complaint().contains("does not match the private key"));
}

#[test]
fn verification_requires_a_root_certificate() {
    for mode in [SslMode::VerifyCa, SslMode::VerifyFull] {
        let mut client = Client::new(mode);
        assert!(client.complaint().contains(&format!("{} does not exist", client.path("root.crt").display())));
        client.tls.root_certificates = RootCertificates::File(ClientFile::Named(client.path("mine.crt")));
        assert!(client.complaint().contains(&format!("{} does not exist", client.path("mine.crt").display())));
        client.tls.root_certificates = RootCertificates::File(ClientFile::Nowhere);
        assert!(client.complaint().contains("there is no home directory"));
        client.tls.root_certificates = RootCertificates::System;
        client.connector().unwrap();
    }
}

#[test]
fn a_root_certificate_that_is_none_is_an_error_in_any_mode() {
    for mode in [SslMode::Allow, SslMode::Require, SslMode::VerifyFull] {
        let mut client = Client::new(mode);
        for content in [&b""[..], b"nonsense"] {
            client.write("root.crt", content);
            let complaint = client.complaint();
            assert!(complaint.contains("/root.crt contains no certificate"), "{complaint}");
        }
        client.tls.root_certificates = RootCertificates::File(ClientFile::Named(client.path("")));
        assert!(client.complaint().contains("cannot be read: Is a directory"));
    }
}

#[test]
fn a_root_certificate_that_was_named_is_passed_over_only_if_it_is_not_there() {
    let mut client = Client::new(SslMode::Require);
    let itself = client.path("loop");
    std::os::unix::fs::symlink(&itself, &itself).unwrap();
    client.tls.root_certificates = RootCertificates::File(ClientFile::Named(client.path("nothing")));
    client.connector().unwrap();
    client.tls.root_certificates = RootCertificates::File(ClientFile::Default(itself.clone()));
    client.connector().unwrap();
    client.tls.root_certificates = RootCertificates::File(ClientFile::Named(itself));
    assert!(client.complaint().contains("root certificate") && client.complaint().contains("cannot be read: "));
}

#[test]
fn a_revocation_list_that_was_named_is_there() {
    let root = Issued::root("root");
    let mut client = Client::trusting(SslMode::VerifyCa, &root);
    client.tls.crl = ClientFile::Named(client.path("nothing"));
    assert!(client.complaint().contains("certificate revocation list") && client.complaint().contains("No such file"));
    client.tls.crl = ClientFile::Named(client.write("none", &root.pem()));
    assert!(client.complaint().contains("/none contains no list"));
    client.tls.crl = ClientFile::Default(client.path("nothing"));
    client.connector().unwrap();
    client.tls.crl_directory = Some(client.path("nothing"));
    assert!(client.complaint().contains("directory of certificate revocation lists"));
}
