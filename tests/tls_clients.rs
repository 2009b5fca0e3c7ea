//! The collector authenticates as psql does: with certificates, keys and passwords, and sends no more than allowed.

use std::os::unix::fs::symlink;
use std::path::Path;

use lab::{Algorithm, Authority, Certificate, Encryption, Subject};

use crate::support::{CLIENT, Case, Certificates, Round, SECRET, Scene, tests, text};

tests![
    #[long]
    certificates_are_shown_with_keys_of_all_kinds,
    a_password_is_given_only_in_ways_that_are_allowed,
    #[long]
    passwords_are_bound_to_the_connection_where_that_is_possible,
    files_in_the_home_folder_are_taken_where_none_are_named,
];

const LOCAL: &[&str] = &["localhost", "127.0.0.1", "::1"];
const UNHASHED: &str = "A server's certificate that is signed with Ed25519";
const NO_CERTIFICATE: &str = "requires a valid client certificate";

fn certificates_are_shown_with_keys_of_all_kinds(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let server = certificates.server(LOCAL);
    let [rsa, ecdsa, ed25519] =
        [Algorithm::Rsa, Algorithm::Ecdsa, Algorithm::Ed25519].map(|kind| certificates.client(kind));
    let (revoked, sesame) = (certificates.client(Algorithm::Ecdsa), format!("{SECRET}-sesame"));
    let client = Subject { common_name: CLIENT, ..Subject::default() };
    let stranger = certificates.stranger.issue(&client).unwrap();
    let expired = certificates.root.issue(&Subject { valid: Subject::EXPIRED, ..client.clone() }).unwrap();
    let other = certificates.root.issue(&Subject { common_name: "bob", ..client.clone() }).unwrap();
    let between = certificates.root.intermediate("between").unwrap();
    let below = between.issue(&client).unwrap();
    let nowhere = Path::new("/nowhere/file");

    let with = |certificate: &Certificate, key: &Path, more: &[(&'static str, &str)], expected| {
        let files = [("sslcert", text(certificate.file())), ("sslkey", text(key)), ("sslmode", "require")];
        Case::new("certificate", &[&files, more].concat(), expected)
    };
    let password = ("sslpassword", sesame.as_str());
    let mut cases = vec![
        with(&rsa, rsa.key(), &[], "TLS"),
        with(&ecdsa, ecdsa.key(), &[], "TLS"),
        with(&ed25519, ed25519.key(), &[], "TLS"),
        with(&below, below.key(), &[], "TLS"),
        with(&stranger, stranger.key(), &[], "unknown ca"),
        with(&expired, expired.key(), &[], "expired"),
        with(&revoked, revoked.key(), &[], "revoked"),
        with(&other, other.key(), &[], "certificate authentication failed"),
        with(&rsa, ecdsa.key(), &[], "certificate does not match private key file"),
        with(&rsa, nowhere, &[], "private key file"),
        with(&rsa, rsa.key(), &[("sslcertmode", "disable")], NO_CERTIFICATE).since(16),
        with(&rsa, rsa.key(), &[("sslcertmode", "allow")], "TLS").since(16),
        // A key that takes no password gets none.
        with(&rsa, rsa.key(), &[password], "TLS"),
        Case::new("certificate", &[("sslmode", "require")], NO_CERTIFICATE),
        Case::new("certificate", &[("sslcert", text(nowhere)), ("sslmode", "require")], NO_CERTIFICATE),
        Case::new("scram_and_certificate", &[("sslmode", "require")], NO_CERTIFICATE),
        Case { way: "scram_and_certificate", ..with(&ecdsa, ecdsa.key(), &[], "TLS") },
        Case { way: "scram_and_certificate", ..with(&ecdsa, ecdsa.key(), &[], "password authentication failed") }
            .password(Some("wrong")),
    ];
    for (certificate, encryption) in [
        (&rsa, Encryption::Pkcs8),
        (&rsa, Encryption::Traditional),
        (&ecdsa, Encryption::Pkcs8),
        (&ecdsa, Encryption::Traditional),
        (&ed25519, Encryption::Pkcs8),
    ] {
        let key = certificate.encrypted_key(encryption, &sesame).unwrap();
        cases.extend([
            with(certificate, &key, &[password], "TLS"),
            with(certificate, &key, &[("sslpassword", "simsim")], "could not load private key file")
                .because("cannot be decrypted with the sslpassword: "),
            with(certificate, &key, &[], "could not load private key file")
                .because("is encrypted, but sslpassword is not set"),
        ]);
    }
    // Only of root's files may a group read one.
    let is_root = rustix::process::geteuid().is_root();
    for (mode, expected) in [
        (0o400, "TLS"),
        (0o640, if is_root { "TLS" } else { "group or world access" }),
        (0o660, "group or world access"),
        (0o604, "group or world access"),
        (0o644, "group or world access"),
    ] {
        cases.push(with(&rsa, &rsa.key_with_mode(mode).unwrap(), &[], expected));
    }
    let link = certificates.directory.join("link.key");
    symlink(rsa.key(), &link).unwrap();
    cases.push(with(&rsa, &link, &[], "TLS"));
    cases.push(with(&rsa, &certificates.directory, &[], "is not a regular file"));
    let gate = certificates.gate_but_for(scene, &[&revoked]);
    // A server that has a list wants one of every authority.
    let lists = [certificates.directory.join("clients.crl"), between.revoke("between", &[]).unwrap()];
    let texts = lists.each_ref().map(|list| std::fs::read_to_string(list).unwrap());
    std::fs::write(&lists[0], texts.concat()).unwrap();
    gate.play(&[Round { name: "clients", certificate: Some(&server), cases }]);
}

fn a_password_is_given_only_in_ways_that_are_allowed(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let server = certificates.server(LOCAL);
    let mut cases = vec![];
    for way in ["scram", "md5", "clear"] {
        cases.extend([
            Case::new(way, &[], "TLS"),
            Case::new(way, &[("sslmode", "disable")], "plain"),
            Case::new(way, &[], "password authentication failed").password(Some("wrong")),
            Case::new(way, &[], "no password supplied").password(None),
        ]);
    }
    // The method by which each asks, and what is allowed.
    for (way, allowed, expected) in [
        ("anyhow", "none", "TLS"),
        ("anyhow", "!none", "authentication method"),
        ("anyhow", "scram-sha-256", "authentication method"),
        ("anyhow", "none,scram-sha-256", "TLS"),
        ("scram", "scram-sha-256", "TLS"),
        ("scram", "!scram-sha-256", "authentication method"),
        ("scram", "md5,password", "authentication method"),
        ("scram", "!none", "TLS"),
        ("scram", "!md5,!password", "TLS"),
        ("md5", "md5", "TLS"),
        ("md5", "scram-sha-256", "authentication method"),
        ("md5", "scram-sha-256,md5", "TLS"),
        ("md5", "!md5", "authentication method"),
        ("clear", "password", "TLS"),
        ("clear", "md5", "authentication method"),
        ("clear", "!password", "authentication method"),
        ("clear", "none", "authentication method"),
        ("clear", "password,md5", "TLS"),
    ] {
        cases.push(Case::new(way, &[("require_auth", allowed)], expected).since(16));
    }
    certificates.gate(scene).play(&[Round { name: "passwords", certificate: Some(&server), cases }]);
}

fn passwords_are_bound_to_the_connection_where_that_is_possible(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let of = |algorithm| certificates.root.issue(&Subject { names: LOCAL, algorithm, ..Subject::default() }).unwrap();
    let [rsa, ecdsa, ed25519] = [Algorithm::Rsa, Algorithm::Ecdsa, Algorithm::Ed25519].map(of);
    let unhashed = Authority::with_key(&certificates.directory, "unhashed", Algorithm::Ed25519).unwrap();
    let unhashed = unhashed.issue(&Subject { names: LOCAL, ..Subject::default() }).unwrap();
    let with = |way, binding, mode, expected| {
        Case::new(way, &[("channel_binding", binding), ("sslmode", mode)], expected).because("channel binding")
    };
    let bound = || {
        vec![
            with("scram", "require", "require", "TLS"),
            with("scram", "prefer", "require", "TLS"),
            with("scram", "disable", "require", "TLS"),
            with("scram", "require", "disable", "channel binding"),
            with("md5", "require", "require", "channel binding"),
            with("clear", "require", "require", "channel binding"),
            with("anyhow", "require", "require", "channel binding"),
            with("md5", "prefer", "require", "TLS"),
        ]
    };
    certificates.gate(scene).play(&[
        Round { name: "RSA", certificate: Some(&rsa), cases: bound() },
        Round { name: "ECDSA", certificate: Some(&ecdsa), cases: bound() },
        Round {
            name: "Ed25519, signed by ECDSA",
            certificate: Some(&ed25519),
            cases: vec![
                with("scram", "require", "require", "TLS"),
                with("scram", "prefer", "require", "TLS"),
                with("scram", "disable", "require", "TLS"),
                with("md5", "prefer", "require", "TLS"),
            ],
        },
        Round {
            name: "a signature without a hash",
            certificate: Some(&unhashed),
            cases: vec![
                with("scram", "require", "require", "could not find digest").because("defines no hash to bind to"),
                with("scram", "prefer", "require", "could not find digest").but_ours_is("TLS", UNHASHED),
                with("scram", "disable", "require", "TLS"),
                with("md5", "prefer", "require", "TLS"),
            ],
        },
    ]);
}

fn files_in_the_home_folder_are_taken_where_none_are_named(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let (good, revoked) = (certificates.server(LOCAL), certificates.server(LOCAL));
    let foreign = certificates.stranger.issue(&Subject { names: LOCAL, ..Subject::default() }).unwrap();
    let client = certificates.client(Algorithm::Ecdsa);
    let gate = certificates.gate(scene);
    let directory = gate.home().join(".postgresql");
    std::fs::create_dir(&directory).unwrap();
    let list = certificates.root.revoke("servers", &[&revoked]).unwrap();
    for (file, name) in [
        (&*certificates.root.file(), "root.crt"),
        (&*list, "root.crl"),
        (client.file(), "postgresql.crt"),
        (client.key(), "postgresql.key"),
    ] {
        std::fs::copy(file, directory.join(name)).unwrap();
    }
    let mode = |mode, expected| Case::new("anyhow", &[("sslmode", mode)], expected);
    let stranger = certificates.stranger.file();
    let unverified = |words| {
        vec![
            mode("prefer", "plain"),
            mode("require", "certificate verify failed").because(words),
            mode("verify-full", "certificate verify failed").because(words),
        ]
    };
    let unknown = "was issued by an unknown authority";
    gate.play(&[
        Round {
            name: "a good certificate",
            certificate: Some(&good),
            cases: vec![
                mode("prefer", "TLS"),
                mode("require", "TLS"),
                mode("verify-full", "TLS"),
                Case::new("certificate", &[], "TLS"),
                // What is named comes before them.
                Case::new(
                    "anyhow",
                    &[("sslmode", "require"), ("sslrootcert", text(&stranger))],
                    "certificate verify failed",
                )
                .because(unknown),
                Case::new("certificate", &[("sslmode", "require"), ("sslcert", "/nowhere/file")], NO_CERTIFICATE),
            ],
        },
        Round { name: "a revoked certificate", certificate: Some(&revoked), cases: unverified("has been revoked by") },
        Round { name: "a stranger's certificate", certificate: Some(&foreign), cases: unverified(unknown) },
    ]);
}
