//! Tests of the verification of servers.

use std::io;

use openssl::hash::MessageDigest;
use openssl::pkey::Id;
use openssl::ssl::{NameType, SslVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::tls::TlsConnect;

use super::super::{AlreadyEncrypted, channel_binding, connector};
use super::*;
use libpq::ProtocolVersion;

#[tokio::test]
async fn a_server_is_verified_as_soon_as_there_is_a_root_certificate() {
    let (root, stranger) = (Issued::root("root"), Issued::root("stranger"));
    let (known, unknown) = (root.issues(&PLAIN), stranger.issues(&PLAIN));
    for mode in [SslMode::Allow, SslMode::Prefer, SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
        let client = Client::trusting(mode, &root);
        assert!(client.is_content_with(server(&known)).await.is_encrypted());
        let error = client.refuses(server(&unknown)).await.to_string();
        let message = "the server's certificate (CN=server) was issued by an unknown authority: CN=stranger";
        assert!(error.starts_with(message), "{error}");
    }
    for mode in [SslMode::Allow, SslMode::Prefer, SslMode::Require] {
        let mut client = Client::new(mode);
        client.is_content_with(server(&unknown)).await;
        client.tls.root_certificates = RootCertificates::File(ClientFile::Nowhere);
        client.is_content_with(server(&unknown)).await;
    }
}

#[tokio::test]
async fn only_verify_full_checks_the_name() {
    let root = Issued::root("root");
    let other = root.issues(&Wish { dns: &["a.example.com", "*.example.org"], ..PLAIN });
    for mode in [SslMode::Require, SslMode::VerifyCa] {
        Client::trusting(mode, &root).is_content_with(server(&other)).await;
    }
    let mut client = Client::trusting(SslMode::VerifyFull, &root);
    let error = client.refuses(server(&other)).await.to_string();
    let message = "the server's certificate is for \"a.example.com\", \"*.example.org\", not for \"db.example.com\"";
    assert_eq!(error, message);
    client.asks_for("DB.example.org");
    client.is_content_with(server(&other)).await;
    client.asks_for("");
    let error = client.meets(server(&other)).await.0.err().unwrap();
    assert!(matches!(error, TlsError::OtherName { .. }));
}

#[tokio::test]
async fn addresses_and_common_names_are_names() {
    let root = Issued::root("root");
    let mut client = Client::trusting(SslMode::VerifyFull, &root);
    let by_common_name = root.issues(&Wish { common_name: "db.example.com", dns: &[], ..PLAIN });
    client.is_content_with(server(&by_common_name)).await;
    let by_address = Wish { dns: &[], address: Some("::1".parse().unwrap()), ..PLAIN };
    client.asks_for("::1");
    client.is_content_with(server(&root.issues(&by_address))).await;
    client.asks_for("127.0.0.1");
    assert!(matches!(client.refuses(server(&root.issues(&by_address))).await, TlsError::OtherName { .. }));
}

#[tokio::test]
async fn a_certificate_counts_in_its_time_only() {
    let root = Issued::root("root");
    let client = Client::trusting(SslMode::VerifyCa, &root);
    let expired = root.issues(&Wish { valid: (-10, -2), ..PLAIN });
    let error = client.refuses(server(&expired)).await.to_string();
    assert!(error.contains("the server's certificate (CN=server) has expired: it was valid until "), "{error}");
    let early = root.issues(&Wish { valid: (2, 10), ..PLAIN });
    let error = client.refuses(server(&early)).await.to_string();
    assert!(error.contains("is not yet valid: it is valid from "), "{error}");
}

#[tokio::test]
async fn a_self_signed_certificate_is_its_own_root() {
    let own = Issued::root("db.example.com");
    let stranger = Issued::root("stranger");
    Client::trusting(SslMode::VerifyFull, &own).is_content_with(server(&own)).await;
    let error = Client::trusting(SslMode::VerifyFull, &stranger).refuses(server(&own)).await.to_string();
    assert!(error.contains("(CN=db.example.com) is self-signed"), "{error}");
}

#[tokio::test]
async fn an_intermediate_authority_is_trusted_if_it_is_sent() {
    let root = Issued::root("root");
    let between = root.issues(&Wish { common_name: "between", dns: &[], is_authority: true, ..PLAIN });
    let leaf = between.issues(&PLAIN);
    let client = Client::trusting(SslMode::VerifyFull, &root);
    let mut shown = server(&leaf);
    shown.add_extra_chain_cert(between.certificate.clone()).unwrap();
    client.is_content_with(shown).await;
    let error = client.refuses(server(&leaf)).await.to_string();
    assert!(error.contains("unknown authority: CN=between"), "{error}");
    let expired = root.issues(&Wish { common_name: "between", is_authority: true, valid: (-9, -2), ..PLAIN });
    let mut old = server(&expired.issues(&PLAIN));
    old.add_extra_chain_cert(expired.certificate).unwrap();
    let error = client.refuses(old).await.to_string();
    assert!(error.contains("of an authority above the server's (CN=between) has expired"), "{error}");
}

#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    let root = Issued::root("root");
    let (good, bad) = (root.issues(&PLAIN), root.issues(&PLAIN));
    let list = root.revokes(&[&bad]);
    let mut client = Client::trusting(SslMode::VerifyCa, &root);
    client.is_content_with(server(&bad)).await;
    client.write("root.crl", &list);
    client.is_content_with(server(&good)).await;
    let error = client.refuses(server(&bad)).await.to_string();
    assert!(error.contains("(CN=server) has been revoked by CN=root"), "{error}");
    // A given file replaces the default one.
    client.tls.crl = ClientFile::Named(client.write("named.crl", &root.revokes(&[])));
    client.is_content_with(server(&bad)).await;
    client.tls.crl = ClientFile::Named(client.write("named.crl", &list));
    client.refuses(server(&bad)).await;
    // Every authority in the chain needs a list.
    let between = root.issues(&Wish { common_name: "between", is_authority: true, ..PLAIN });
    let chain = || {
        let mut chain = server(&between.issues(&PLAIN));
        chain.add_extra_chain_cert(between.certificate.clone()).unwrap();
        chain
    };
    let error = client.refuses(chain()).await.to_string();
    assert!(error.contains("there is no certificate revocation list of CN=between"), "{error}");
    client.write("named.crl", &[between.revokes(&[]), list].concat());
    client.is_content_with(chain()).await;
    client.write("named.crl", &[between.revokes(&[]), root.revokes(&[&between])].concat());
    let error = client.refuses(chain()).await.to_string();
    assert!(error.contains("above the server's (CN=between) has been revoked by CN=root"), "{error}");
}

#[tokio::test]
async fn lists_are_found_in_a_directory_by_their_issuers_hash() {
    let root = Issued::root("root");
    let (good, bad) = (root.issues(&PLAIN), root.issues(&PLAIN));
    let mut client = Client::trusting(SslMode::VerifyCa, &root);
    let hash = root.certificate.subject_name_hash();
    client.write(&format!("{hash:08x}.r0"), &root.revokes(&[&bad]));
    client.is_content_with(server(&bad)).await;
    client.tls.crl_directory = Some(client.path(""));
    client.write("root.crl", b"not looked at: there is a directory");
    client.is_content_with(server(&good)).await;
    let error = client.refuses(server(&bad)).await.to_string();
    assert!(error.contains("has been revoked"), "{error}");
}

#[tokio::test]
async fn the_systems_certificates_do_not_verify_a_test_server() {
    let root = Issued::root("root");
    let mut client = Client::trusting(SslMode::VerifyFull, &root);
    client.tls.root_certificates = RootCertificates::System;
    client.write("root.crl", b"not looked at: it is not for them");
    let error = client.refuses(server(&root.issues(&PLAIN))).await;
    assert!(matches!(error, TlsError::Certificate(_)), "{error}");
    client.tls.crl = ClientFile::Named(client.path("root.crl"));
    assert!(client.complaint().contains("/root.crl contains no list"));
}

#[tokio::test]
async fn versions_are_agreed_on_within_their_limits() {
    let root = Issued::root("root");
    let certificate = root.issues(&PLAIN);
    let old = || {
        let mut old = server(&certificate);
        old.set_max_proto_version(Some(SslVersion::TLS1_1)).unwrap();
        old.set_security_level(0);
        old
    };
    let mut client = Client::trusting(SslMode::VerifyFull, &root);
    client.tls.min_version = Some(ProtocolVersion::Tls1_2);
    let error = client.refuses(old()).await.to_string();
    assert_eq!(error, "the server supports none of the allowed TLS versions: TLS 1.2 or newer");
    client.tls.min_version = Some(ProtocolVersion::Tls1_3);
    client.is_content_with(server(&certificate)).await;
    let mut former = server(&certificate);
    former.set_max_proto_version(Some(SslVersion::TLS1_2)).unwrap();
    assert!(matches!(client.refuses(former).await, TlsError::Version { .. }));
    client.tls.min_version = None;
    client.tls.max_version = Some(ProtocolVersion::Tls1_2);
    let (ours, theirs) = client.meets(server(&certificate)).await;
    assert!(ours.is_ok());
    assert_eq!(theirs.unwrap().ssl().version2(), Some(SslVersion::TLS1_2));
}

#[test]
fn a_version_without_a_bound_is_left_to_the_system() {
    let mut client = Client::new(SslMode::Require);
    let mut bounds = |least, most| {
        (client.tls.min_version, client.tls.max_version) = (least, most);
        let mut context = SslContext::builder(SslMethod::tls_client()).unwrap();
        context.set_min_proto_version(Some(SslVersion::TLS1)).unwrap();
        connector::bound(&mut context, &client.tls).unwrap();
        (context.min_proto_version(), context.max_proto_version())
    };
    assert_eq!(bounds(None, None), (Some(SslVersion::TLS1), None));
    let (least, most) = (Some(ProtocolVersion::Tls1_1), Some(ProtocolVersion::Tls1_2));
    assert_eq!(bounds(None, least), (Some(SslVersion::TLS1), Some(SslVersion::TLS1_1)));
    assert_eq!(bounds(least, most), (Some(SslVersion::TLS1_1), Some(SslVersion::TLS1_2)));
}

#[tokio::test]
async fn a_server_is_asked_for_by_its_name_and_not_by_its_address() {
    let root = Issued::root("root");
    let certificate = root.issues(&PLAIN);
    let mut client = Client::trusting(SslMode::VerifyCa, &root);
    for (host, sni, asked) in [
        ("db.example.com", true, Some("db.example.com")),
        ("db.example.com", false, None),
        ("127.0.0.1", true, None),
        ("::1", true, None),
        ("", true, None),
    ] {
        client.asks_for(host);
        client.tls.sni = sni;
        let theirs = client.meets(server(&certificate)).await.1.unwrap();
        assert_eq!(theirs.ssl().servername(NameType::HOST_NAME), asked, "{host}");
    }
}

#[tokio::test]
async fn the_protocol_has_to_be_agreed_on_where_nothing_else_tells_it() {
    let root = Issued::root("root");
    let certificate = root.issues(&PLAIN);
    let mut client = Client::trusting(SslMode::VerifyFull, &root);
    let silent = || {
        let mut silent = server(&certificate);
        silent.set_alpn_select_callback(|_, _| Err(AlpnError::NOACK));
        silent
    };
    client.is_content_with(silent()).await;
    client.tls.negotiation = SslNegotiation::Direct;
    client.is_content_with(server(&certificate)).await;
    assert!(matches!(client.refuses(silent()).await, TlsError::NoProtocol));
    let mut other = server(&certificate);
    other.set_alpn_select_callback(|_, _| Err(AlpnError::ALERT_FATAL));
    let error = client.refuses(other).await.to_string();
    assert!(error.contains("refused the handshake: the server does not accept the protocol"), "{error}");
}

#[tokio::test]
async fn a_peer_without_tls_and_a_closed_connection_are_different_errors() {
    let client = Client::new(SslMode::Require);
    let connector = client.connector().unwrap();
    for (message, is_lost) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], false), (b"E\0\0\0\x08no\0\0", false), (b"", true)]
    {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(message).await.unwrap();
        theirs.shutdown().await.unwrap();
        let error = connector.connect(Either::Right(ours), &client.host).await.err().unwrap();
        assert_eq!(error.is_lost(), is_lost, "{error}");
        assert_eq!(matches!(error, TlsError::NotTls), !is_lost, "{error}");
    }
}

#[tokio::test]
async fn a_login_is_tied_to_the_certificate_if_that_has_a_digest() {
    let root = Issued::root("root");
    let client = Client::trusting(SslMode::VerifyFull, &root);
    let certificate = root.issues(&PLAIN);
    let hash = certificate.certificate.digest(MessageDigest::sha256()).unwrap().to_vec();
    assert_eq!(channel_binding::tls_server_end_point(&certificate.certificate), Some(hash.clone()));
    let stream = client.is_content_with(server(&certificate)).await;
    assert_eq!(stream.tls_server_end_point(), Some(hash.as_slice()));
    // This signature algorithm defines no digest.
    let modern = root.issues(&Wish { kind: Id::ED25519, is_authority: true, ..PLAIN }).issues(&PLAIN);
    assert_eq!(channel_binding::tls_server_end_point(&modern.certificate), None);
    let (ours, _theirs) = UnixStream::pair().unwrap();
    assert_eq!(Stream::plain(Either::Right(ours)).tls_server_end_point(), None);
}

#[tokio::test]
async fn data_arrives_with_and_without_encryption() {
    let root = Issued::root("root");
    let client = Client::trusting(SslMode::VerifyFull, &root);
    let (ours, theirs) = client.meets(server(&root.issues(&PLAIN))).await;
    let (mut ours, mut theirs) = (AlreadyEncrypted.connect(ours.unwrap()).await.unwrap(), theirs.unwrap());
    let long = vec![7; 100_000];
    let (mut heard, mut answer) = (vec![0; long.len()], [0; 2]);
    let talking = async {
        ours.write_all(&long).await.unwrap();
        ours.flush().await.unwrap();
        ours.read_exact(&mut answer).await.unwrap();
    };
    let listening = async {
        theirs.read_exact(&mut heard).await.unwrap();
        theirs.write_all(b"ok").await.unwrap();
    };
    tokio::join!(talking, listening);
    assert!(heard == long && &answer == b"ok");
    // Closed without close_notify.
    drop(theirs);
    assert_eq!(ours.read_u8().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);

    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut ours = Stream::plain(Either::Right(ours));
    assert!(!ours.is_encrypted());
    ours.write_all(b"ping").await.unwrap();
    let mut heard = [0; 4];
    theirs.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");
    theirs.write_all(b"pong").await.unwrap();
    ours.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"pong");
    ours.shutdown().await.unwrap();
    assert_eq!(theirs.read(&mut heard).await.unwrap(), 0);
}
