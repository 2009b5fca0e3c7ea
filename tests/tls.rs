//! TLS works as in psql: the same parameters and servers have the same result.

use std::path::Path;
use std::process::Command;

use lab::{Registration, Subject};
use serde_json::json;

use crate::support::{Case, Certificates, Round, Scene, tests, text};

tests![
    #[long]
    each_mode_is_what_it_is_to_psql,
    #[long]
    names_in_certificates_are_believed_as_psql_believes_them,
    lists_of_revoked_certificates_are_looked_at,
    certificates_between_a_server_and_the_root_are_followed,
    versions_of_the_protocol_are_kept_to,
    the_root_certificates_of_the_system_are_taken_where_they_are_asked_for,
    certificates_are_read_again_at_each_connection,
];

const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const LOCAL: &[&str] = &["localhost", "127.0.0.1", "::1"];

/// The words of psql, as far as all its versions agree on them.
const REJECTS: &str = "pg_hba.conf rejects connection";
const NO_ROOT: &str = "root certificate file";
const NO_TLS: &str = "server does not support SSL";
const UNVERIFIED: &str = "certificate verify failed";
const OTHER_NAME: &str = "does not match host name";
const HANGS_UP: &str = "SSL SYSCALL error";

/// Why a certificate cannot be verified, in the collector's words.
const EXPIRED: &str = "(CN=server) has expired: it was valid until";
const NOT_YET: &str = "(CN=server) is not yet valid: it is valid from";
const UNKNOWN: &str = "was issued by an unknown authority";
const REVOKED: &str = "(CN=server) has been revoked by CN=root of the laboratory";

/// Cases in which a certificate cannot be verified for a reason.
fn because(words: &'static str, cases: Vec<Case>) -> Vec<Case> {
    let output = |case: Case| if case.expected == UNVERIFIED { case.because(words) } else { case };
    cases.into_iter().map(output).collect()
}

/// A case a mode.
fn modes(way: &'static str, host: &str, root: Option<&Path>, expected: [&'static str; 6]) -> Vec<Case> {
    let root: Vec<_> = root.map(|file| ("sslrootcert", text(file))).into_iter().collect();
    modes_with(way, &root, expected).into_iter().map(|case| case.at(host)).collect()
}

fn modes_with(way: &'static str, given: &[(&'static str, &str)], expected: [&'static str; 6]) -> Vec<Case> {
    let case = |(mode, expected)| Case::new(way, &[given, &[("sslmode", mode)]].concat(), expected);
    MODES.into_iter().zip(expected).map(case).collect()
}

fn each_mode_is_what_it_is_to_psql(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let (right, wrong) = (certificates.root.file(), certificates.stranger.file());
    let (right, wrong, nowhere) = (Some(&*right), Some(&*wrong), Some(Path::new("/nowhere/root.crt")));
    let here = "127.0.0.1";
    let good = certificates.server(LOCAL);
    let expired = certificates.server_valid(Subject::EXPIRED);
    let future = certificates.server_valid(Subject::NOT_YET);
    let foreign = certificates.stranger.issue(&Subject { names: LOCAL, ..Subject::default() }).unwrap();

    let without = [
        modes("anyhow", here, None, ["plain", "plain", "plain", NO_TLS, NO_TLS, NO_TLS]),
        modes("anyhow", here, right, ["plain", "plain", "plain", NO_TLS, NO_TLS, NO_TLS]),
        modes("only_tls", here, right, [REJECTS, REJECTS, REJECTS, NO_TLS, NO_TLS, NO_TLS]),
    ];
    let trusted = [
        modes("anyhow", here, None, ["plain", "plain", "TLS", "TLS", NO_ROOT, NO_ROOT]),
        modes("anyhow", here, nowhere, ["plain", "plain", "TLS", "TLS", NO_ROOT, NO_ROOT]),
        modes("anyhow", here, right, ["plain", "plain", "TLS", "TLS", "TLS", "TLS"]),
        because(UNKNOWN, modes("anyhow", here, wrong, ["plain", "plain", "plain", UNVERIFIED, UNVERIFIED, UNVERIFIED])),
        modes("only_tls", here, None, [REJECTS, "TLS", "TLS", "TLS", NO_ROOT, NO_ROOT]),
        modes("only_tls", here, right, [REJECTS, "TLS", "TLS", "TLS", "TLS", "TLS"]),
        because(
            UNKNOWN,
            modes("only_tls", here, wrong, [REJECTS, UNVERIFIED, UNVERIFIED, UNVERIFIED, UNVERIFIED, UNVERIFIED]),
        ),
        modes("only_plain", here, None, ["plain", "plain", "plain", REJECTS, NO_ROOT, NO_ROOT]),
        modes("only_plain", here, right, ["plain", "plain", "plain", REJECTS, REJECTS, REJECTS]),
        vec![Case::new("anyhow", &[], "TLS"), Case::new("only_plain", &[], "plain")],
    ];
    let untrusted = |certificate, name, words| {
        let cases = [
            modes("anyhow", here, None, ["plain", "plain", "TLS", "TLS", NO_ROOT, NO_ROOT]),
            modes("anyhow", here, right, ["plain", "plain", "plain", UNVERIFIED, UNVERIFIED, UNVERIFIED]),
            modes("only_tls", here, right, [REJECTS, UNVERIFIED, UNVERIFIED, UNVERIFIED, UNVERIFIED, UNVERIFIED]),
        ];
        Round { name, certificate: Some(certificate), cases: because(words, cases.concat()) }
    };
    let gate = certificates.gate(scene);
    // Through a socket nothing is encrypted, whatever is asked for.
    let socket = text(gate.cluster.directory());
    let through_a_socket = [
        modes("anyhow", socket, None, ["plain"; 6]),
        modes("only_tls", socket, right, ["plain"; 6]),
        vec![
            Case::new("anyhow", &[("channel_binding", "require")], "channel binding")
                .because("channel binding")
                .at(socket),
        ],
    ];
    gate.play(&[
        Round { name: "a socket", certificate: Some(&good), cases: through_a_socket.concat() },
        Round { name: "no TLS", certificate: None, cases: without.concat() },
        Round { name: "a good certificate", certificate: Some(&good), cases: trusted.concat() },
        untrusted(&expired, "an expired certificate", EXPIRED),
        untrusted(&future, "a certificate that is not valid yet", NOT_YET),
        untrusted(&foreign, "a stranger's certificate", UNKNOWN),
    ]);
}

fn names_in_certificates_are_believed_as_psql_believes_them(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let root = certificates.root.file();
    let right = Some(&*root);
    let named =
        |common_name, names| certificates.root.issue(&Subject { common_name, names, ..Subject::default() }).unwrap();
    let full = |host: &str, expected| {
        Case::new("anyhow", &[("sslmode", "verify-full"), ("sslrootcert", text(&root))], expected).at(host)
    };
    // Without a name service, a name is given with its address.
    let resolved = |host: &str, expected| {
        let given = [("sslmode", "verify-full"), ("sslrootcert", text(&root)), ("hostaddr", "127.0.0.1")];
        Case::new("anyhow", &given, expected).at(host)
    };
    let elsewhere = named("server", &["elsewhere.test"]);
    let common_name = named("localhost", &[]);
    let address = named("127.0.0.1", &[]);
    let address_beside_a_name = named("127.0.0.1", &["elsewhere.test"]);
    let hidden = named("localhost", &["elsewhere.test"]);
    let only_an_address = named("localhost", &["127.0.0.1"]);
    let wildcard = named("server", &["*.powa.test", "LocalHost"]);
    let wildcard_in_common_name = named("*.powa.test", &[]);
    let all = certificates.server(LOCAL);
    certificates.gate(scene).play(&[
        Round {
            name: "another name",
            certificate: Some(&elsewhere),
            cases: [
                modes("anyhow", "localhost", right, ["plain", "plain", "TLS", "TLS", "TLS", OTHER_NAME]),
                vec![resolved("elsewhere.test", "TLS"), resolved("here.test", OTHER_NAME)],
            ]
            .concat(),
        },
        Round {
            name: "a common name",
            certificate: Some(&common_name),
            cases: [
                modes("only_tls", "localhost", right, [REJECTS, "TLS", "TLS", "TLS", "TLS", "TLS"]),
                vec![full("127.0.0.1", OTHER_NAME), resolved("LOCALHOST", "TLS")],
            ]
            .concat(),
        },
        Round {
            name: "an address as common name",
            certificate: Some(&address),
            cases: vec![full("127.0.0.1", "TLS"), full("localhost", OTHER_NAME)],
        },
        Round {
            name: "an address as common name, beside another name",
            certificate: Some(&address_beside_a_name),
            cases: vec![full("127.0.0.1", "TLS"), full("localhost", OTHER_NAME)],
        },
        Round {
            name: "a common name beside another name",
            certificate: Some(&hidden),
            cases: vec![full("localhost", OTHER_NAME)],
        },
        Round {
            name: "a common name beside an address",
            certificate: Some(&only_an_address),
            cases: vec![full("localhost", "TLS"), full("127.0.0.1", "TLS"), full("::1", OTHER_NAME)],
        },
        Round {
            name: "a wildcard",
            certificate: Some(&wildcard),
            cases: vec![
                resolved("db.powa.test", "TLS"),
                resolved("DB.PoWA.Test", "TLS"),
                resolved("powa.test", OTHER_NAME),
                resolved("a.db.powa.test", OTHER_NAME),
                full("localhost", "TLS"),
            ],
        },
        Round {
            name: "a wildcard as common name",
            certificate: Some(&wildcard_in_common_name),
            cases: vec![resolved("db.powa.test", "TLS"), resolved("a.db.powa.test", OTHER_NAME)],
        },
        Round {
            name: "all names",
            certificate: Some(&all),
            cases: LOCAL.iter().map(|host| full(host, "TLS")).collect(),
        },
    ]);
}

fn lists_of_revoked_certificates_are_looked_at(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let (good, revoked) = (certificates.server(LOCAL), certificates.server(LOCAL));
    let list = certificates.root.revoke("servers", &[&revoked]).unwrap();
    let of_stranger = certificates.stranger.revoke("strangers", &[]).unwrap();
    let directory = certificates.directory.join("lists");
    std::fs::create_dir(&directory).unwrap();
    std::fs::copy(&list, directory.join("servers.crl")).unwrap();
    assert!(Command::new("openssl").arg("rehash").arg(&directory).status().unwrap().success());

    let root = certificates.root.file();
    let root = ("sslrootcert", text(&root));
    let with = |given: &[(&'static str, &str)], expected| {
        let mode = ("sslmode", "verify-ca");
        Case::new("anyhow", &[&[root, mode], given].concat(), expected)
    };
    certificates.gate(scene).play(&[
        Round {
            name: "a certificate that is in no list",
            certificate: Some(&good),
            cases: vec![
                with(&[("sslcrl", text(&list))], "TLS"),
                with(&[("sslcrldir", text(&directory))], "TLS"),
                with(&[("sslcrl", "/nowhere/root.crl")], "TLS").but_ours_is(
                    "the certificate revocation list /nowhere/root.crl cannot be read: No such file",
                    "A list of revoked certificates that is named and cannot be read is an error.",
                ),
                // Nobody says whether it is revoked.
                with(&[("sslcrl", text(&of_stranger))], UNVERIFIED)
                    .because("cannot be verified: there is no certificate revocation list of"),
            ],
        },
        Round {
            name: "a revoked certificate",
            certificate: Some(&revoked),
            cases: because(
                REVOKED,
                [
                    vec![with(&[], "TLS"), with(&[("sslcrldir", text(&directory))], UNVERIFIED)],
                    modes_with(
                        "anyhow",
                        &[root, ("sslcrl", text(&list))],
                        ["plain", "plain", "plain", UNVERIFIED, UNVERIFIED, UNVERIFIED],
                    ),
                    // Without a root, nothing is verified.
                    vec![Case::new("anyhow", &[("sslmode", "require"), ("sslcrl", text(&list))], "TLS")],
                ]
                .concat(),
            ),
        },
    ]);
}

fn certificates_between_a_server_and_the_root_are_followed(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let between = certificates.root.intermediate("between").unwrap();
    let sent = between.issue(&Subject { names: LOCAL, ..Subject::default() }).unwrap();
    let (root, middle) = (certificates.root.file(), between.file());
    let both = certificates.directory.join("both.crt");
    let texts = [&root, &middle].map(|file| std::fs::read_to_string(file).unwrap());
    std::fs::write(&both, texts.concat()).unwrap();
    // Of the file with the chain, the first is the server's own.
    let whole = std::fs::read_to_string(sent.file()).unwrap();
    let alone = whole.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap().to_owned();

    let gate = certificates.gate(scene);
    let trusting = |file: &Path, expected| {
        Case::new("anyhow", &[("sslmode", "verify-full"), ("sslrootcert", text(file))], expected)
    };
    let unknown = "(CN=between of the laboratory) was issued by an unknown authority: CN=root of the laboratory";
    gate.play(&[Round {
        name: "the whole chain",
        certificate: Some(&sent),
        cases: vec![trusting(&root, "TLS"), trusting(&both, "TLS"), trusting(&middle, UNVERIFIED).because(unknown)],
    }]);
    std::fs::write(sent.file(), alone).unwrap();
    gate.play(&[Round {
        name: "only the server's own",
        certificate: Some(&sent),
        cases: because(UNKNOWN, vec![trusting(&root, UNVERIFIED), trusting(&both, "TLS")]),
    }]);
}

fn versions_of_the_protocol_are_kept_to(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let good = certificates.server(LOCAL);
    let gate = certificates.gate(scene);
    let least = |version, mode, expected| {
        Case::new("anyhow", &[("ssl_min_protocol_version", version), ("sslmode", mode)], expected)
    };
    let most = |version, mode, expected| {
        Case::new("anyhow", &[("ssl_max_protocol_version", version), ("sslmode", mode)], expected)
    };
    let old = |mode, expected| {
        let versions = [("ssl_min_protocol_version", "TLSv1"), ("ssl_max_protocol_version", "TLSv1.1")];
        Case::new("anyhow", &[&versions[..], &[("sslmode", mode)]].concat(), expected)
    };
    // Which the server knows since PostgreSQL 17; an older one does not understand, and hangs up.
    let direct = |mode, expected| {
        let expected = if scene.generation().postgres_major() >= 17 { expected } else { HANGS_UP };
        Case::new("anyhow", &[("sslnegotiation", "direct"), ("sslmode", mode)], expected).since(17)
    };
    gate.play(&[Round {
        name: "a server of today",
        certificate: Some(&good),
        cases: vec![
            least("TLSv1.3", "require", "TLSv1.3"),
            most("TLSv1.2", "require", "TLSv1.2"),
            // The server's own least is a later one.
            old("require", "SSL error"),
            old("prefer", "plain"),
            direct("require", "TLSv1.3"),
            // What is missing is missed before anybody is asked.
            Case { expected: NO_ROOT, ..direct("verify-ca", NO_ROOT) },
            Case::new("anyhow", &[("sslsni", "0")], "TLS"),
            Case::new("anyhow", &[("sslcompression", "1")], "TLS"),
        ],
    }]);
    gate.cluster.set(&[("ssl_max_protocol_version", "TLSv1.2")]).unwrap();
    gate.play(&[Round {
        name: "a server of yesterday",
        certificate: Some(&good),
        cases: vec![
            Case::new("anyhow", &[], "TLSv1.2"),
            least("TLSv1.3", "require", "SSL error"),
            least("TLSv1.3", "prefer", "plain"),
        ],
    }]);
}

fn the_root_certificates_of_the_system_are_taken_where_they_are_asked_for(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let (good, elsewhere) = (certificates.server(LOCAL), certificates.server(&["elsewhere.test"]));
    let foreign = certificates.stranger.issue(&Subject { names: LOCAL, ..Subject::default() }).unwrap();
    // What OpenSSL takes for the system's.
    let gate = certificates.gate(scene).env("SSL_CERT_FILE", text(&certificates.root.file()));
    let cases = |expected| {
        let system = ("sslrootcert", "system");
        vec![
            Case::new("anyhow", &[system, ("sslmode", "verify-full")], expected).since(16),
            // It means verify-full where no mode is given.
            Case::new("anyhow", &[system], expected).since(16),
        ]
    };
    gate.play(&[
        Round { name: "a good certificate", certificate: Some(&good), cases: cases("TLS") },
        Round { name: "another name", certificate: Some(&elsewhere), cases: cases(OTHER_NAME) },
        Round {
            name: "a stranger's certificate",
            certificate: Some(&foreign),
            cases: because(UNKNOWN, cases(UNVERIFIED)),
        },
    ]);
}

fn certificates_are_read_again_at_each_connection(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let (good, expired) = (certificates.server(LOCAL), certificates.server_valid(Subject::EXPIRED));
    let gate = certificates.gate(scene);
    gate.show(Some(&good));
    let roots = certificates.directory.join("roots.crt");
    std::fs::copy(certificates.stranger.file(), &roots).unwrap();
    let server = scene.register_as(Registration::of(&gate.cluster));
    let _collector = scene.collector_with(json!({"remote": {"sslmode": "verify-full", "sslrootcert": roots}}));
    scene.wait_for_error(server, "certificate");
    assert_eq!(scene.snapshots(server), 0);
    std::fs::copy(certificates.root.file(), &roots).unwrap();
    scene.wait_for_snapshots(server, 1);
    // What is open stays open: only who connects sees another certificate.
    gate.show(Some(&expired));
    gate.hang_up();
    scene.wait_for_error(server, "expired");
    let before = scene.snapshots(server);
    gate.show(Some(&good));
    scene.wait_for_snapshots(server, before + 1);
}
