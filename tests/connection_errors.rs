//! The error of a failed connection names the server, the address, whether TLS was used, and the reason. It is the same
//! for the repository as for a remote server, except that a collector without a repository ends.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;

use lab::{Algorithm, Certificate, Encryption, Registration, Subject};
use serde_json::{Value, json};

use crate::support::{
    Certificates, Collector, Gate, SECRET, Scene, assert_no_secret, output, program, tests, text, wait_for,
};

tests![
    a_server_that_is_not_reached_is_told,
    a_certificate_that_is_not_good_is_told,
    files_of_ours_that_are_not_good_are_told,
    a_login_that_is_refused_is_told,
    a_parameter_that_is_not_good_ends_a_collector_before_it_connects,
    what_is_not_good_for_one_server_is_told_and_others_go_on,
];

const LOCAL: &[&str] = &["localhost", "127.0.0.1", "::1"];

/// A connection that does not come about.
struct Trouble<'a> {
    host: &'a str,
    port: u16,
    user: &'a str,
    /// What comes behind the secret that is in all passwords.
    password: Option<&'a str>,
    given: Vec<(&'a str, &'a str)>,
    /// What is said of it, behind the name of the server.
    expected: &'a str,
    /// It may be better in a while, so that nobody gives up.
    may_pass: bool,
}

impl<'a> Trouble<'a> {
    /// With the right password, at 127.0.0.1.
    fn new(gate: &Gate, user: &'a str, given: &[(&'a str, &'a str)], expected: &'a str) -> Self {
        let (host, port) = ("127.0.0.1", gate.cluster.port());
        Self { host, port, user, password: Some("right"), given: given.to_vec(), expected, may_pass: false }
    }

    fn whole(&self, side: &str) -> String {
        format!(
            "could not connect to {}:{}, database \"powa\" ({side} server): {}",
            self.host, self.port, self.expected
        )
    }

    fn password(&self) -> Option<String> {
        self.password.map(|end| format!("{SECRET}-{end}"))
    }
}

/// Roles of the groups that a gate lets in.
fn create_roles(gate: &Gate) {
    for way in ["anyhow", "only_tls", "scram", "md5", "clear", "certificate"] {
        let encryption = if way == "md5" { "md5" } else { "scram-sha-256" };
        let sql = format!(
            "set password_encryption = '{encryption}';
            create role by_{way} login superuser password '{SECRET}-right' in role {way}"
        );
        gate.cluster.connect("postgres").unwrap().batch_execute(&sql).unwrap();
    }
}

/// Makes sure of what is told, on both sides.
fn check(scene: &Scene, gate: &Gate, troubles: &[Trouble]) {
    check_remotes(scene, gate, troubles);
    for trouble in troubles {
        check_repository(scene, gate, trouble);
    }
}

/// One collector for all of them.
fn check_remotes(scene: &Scene, gate: &Gate, troubles: &[Trouble]) {
    let scene = scene.another();
    let mut overrides = BTreeMap::new();
    let servers: Vec<_> = troubles
        .iter()
        .enumerate()
        .map(|(number, trouble)| {
            let (alias, password) = (format!("trouble {number}"), trouble.password());
            let server = scene.register_beside_others(Registration {
                hostname: trouble.host,
                port: trouble.port,
                alias: Some(&alias),
                username: trouble.user,
                password: password.as_deref(),
                ..Registration::of(&gate.cluster)
            });
            let given: BTreeMap<_, _> = trouble.given.iter().copied().collect();
            overrides.insert(server.to_string(), given);
            server
        })
        .collect();
    let other = scene.register();
    let mut command = program();
    command.arg("-c").arg(scene.config(json!({"remote": {"servers": overrides}}))).env("HOME", gate.home());
    let collector = Collector::run(command);
    for (trouble, server) in troubles.iter().zip(servers) {
        let error = wait_for(trouble.expected, || scene.errors(server).into_iter().next());
        assert!(error.starts_with(&trouble.whole("remote")), "{error}\nis not:\n{}", trouble.whole("remote"));
        assert_eq!(scene.snapshots(server), 0, "{error}");
    }
    scene.wait_for_snapshots(other, 1);
    collector.stop();
}

fn check_repository(scene: &Scene, gate: &Gate, trouble: &Trouble) {
    let password = trouble.password();
    let fixed = [("host", trouble.host), ("user", trouble.user), ("dbname", "powa")];
    let password = password.iter().map(|password| ("password", password.as_str()));
    let given = fixed.into_iter().chain(password).chain(trouble.given.iter().copied());
    let dsn: String = given.map(|(keyword, value)| format!("{keyword}='{value}' ")).collect();
    let dsn = format!("{dsn} port={}", trouble.port);
    let mut command = program();
    command.arg("-c").arg(scene.config_file(&json!({"repository": {"dsn": dsn}}).to_string())).env("HOME", gate.home());
    let collector = Collector::run(command);
    let message = collector.wait_for_log(&trouble.whole("repository"));
    if trouble.may_pass {
        assert!(message.ends_with("; waiting for it") && collector.is_running(), "{message}");
    } else {
        assert_eq!(collector.wait().0.code(), Some(1));
        assert!(message.starts_with("powa-collector: "), "{message}");
    }
}

fn a_server_that_is_not_reached_is_told(scene: &Scene) {
    let gate = Certificates::of(scene).gate(scene);
    create_roles(&gate);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let new = |given: &[_], expected| Trouble { may_pass: true, ..Trouble::new(&gate, "by_anyhow", given, expected) };
    let named = |given: &[_], expected| Trouble { host: "db.powa.test", ..new(given, expected) };
    let troubles = [
        Trouble { port: 1, ..new(&[], "Connection refused (os error 111)") },
        Trouble { port: 1, ..named(&[("hostaddr", "127.0.0.1")], "127.0.0.1: Connection refused (os error 111)") },
        // Whether it will ever be known depends on the name service.
        Trouble { host: "nowhere.invalid", ..new(&[], "failed to lookup address information: ") },
        Trouble { port: silent_port, ..new(&[("connect_timeout", "1")], "no answer within 1 s") },
        Trouble {
            port: silent_port,
            ..named(
                &[("connect_timeout", "1"), ("sslmode", "disable"), ("hostaddr", "127.0.0.1")],
                "127.0.0.1, without TLS: no answer within 1 s",
            )
        },
        Trouble { may_pass: false, ..new(&[("sslmode", "require")], "the server does not offer TLS") },
        Trouble {
            may_pass: false,
            ..named(&[("sslmode", "verify-ca"), ("hostaddr", "127.0.0.1")], "127.0.0.1: the server does not offer TLS")
        },
    ];
    check_remotes(scene, &gate, &troubles);
    for trouble in troubles.iter().filter(|trouble| trouble.host != "nowhere.invalid") {
        check_repository(scene, &gate, trouble);
    }
}

fn a_certificate_that_is_not_good_is_told(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let (good, revoked, expired) =
        (certificates.server(LOCAL), certificates.server(LOCAL), certificates.server_valid(Subject::EXPIRED));
    let elsewhere = certificates.server(&["elsewhere.test"]);
    let foreign = certificates.stranger.issue(&Subject { names: LOCAL, ..Subject::default() }).unwrap();
    let list = certificates.root.revoke("servers", &[&revoked]).unwrap();
    let gate = certificates.gate(scene);
    create_roles(&gate);
    let root = certificates.root.file();
    let given = [("sslmode", "verify-full"), ("sslrootcert", text(&root)), ("sslcrl", text(&list))];
    let by_name = [&given[..], &[("hostaddr", "127.0.0.1")]].concat();
    let check_with = |certificate: &Certificate, expected: &str| {
        gate.show(Some(certificate));
        let named = format!("127.0.0.1, {expected}").replace("\"127.0.0.1\"", "\"localhost\"");
        let by_address = Trouble::new(&gate, "by_anyhow", &given, expected);
        let by_name = Trouble { host: "localhost", ..Trouble::new(&gate, "by_anyhow", &by_name, &named) };
        check(scene, &gate, &[by_address, by_name]);
    };
    check_with(&expired, "over TLS: the server's certificate (CN=server) has expired: it was valid until ");
    check_with(&elsewhere, "over TLS: the server's certificate is for \"elsewhere.test\", not for \"127.0.0.1\"");
    let unknown = "over TLS: the server's certificate (CN=nobody) was issued by an unknown authority: CN=stranger of the \
                   laboratory is not among the root certificates";
    check_with(&foreign, unknown);
    check_with(
        &revoked,
        "over TLS: the server's certificate (CN=server) has been revoked by CN=root of the laboratory",
    );
    gate.show(Some(&good));
    let nowhere = [("sslmode", "verify-full"), ("sslrootcert", "/nowhere/root.crt")];
    let expected = "over TLS: the server's certificate cannot be verified without a root certificate: \
                /nowhere/root.crt does not exist; set sslrootcert to an existing file or to \"system\"";
    check(scene, &gate, &[Trouble::new(&gate, "by_anyhow", &nowhere, expected)]);
}

fn files_of_ours_that_are_not_good_are_told(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let (server, client) = (certificates.server(LOCAL), certificates.client(Algorithm::Ecdsa));
    let gate = certificates.gate(scene);
    create_roles(&gate);
    gate.show(Some(&server));
    let open = client.key_with_mode(0o644).unwrap();
    let encrypted = client.encrypted_key(Encryption::Pkcs8, &format!("{SECRET}-sesame")).unwrap();
    let wrong = format!("{SECRET}-simsim");
    let certificate = ("sslcert", text(client.file()));
    let with = |key: &'_ Path| format!("over TLS: the private key {} ", key.display());
    let expected = [
        with(&open) + "can be used by others; set its mode to 0600 or less, or to 0640 or less if root owns it",
        with(&encrypted) + "cannot be decrypted with the sslpassword: ",
        with(&encrypted) + "is encrypted, but sslpassword is not set",
        with(Path::new("/nowhere/key")) + "does not exist, but its certificate does",
    ];
    let mode = ("sslmode", "require");
    check(
        scene,
        &gate,
        &[
            Trouble::new(&gate, "by_certificate", &[mode, certificate, ("sslkey", text(&open))], &expected[0]),
            Trouble::new(
                &gate,
                "by_certificate",
                &[mode, certificate, ("sslkey", text(&encrypted)), ("sslpassword", &wrong)],
                &expected[1],
            ),
            Trouble::new(&gate, "by_certificate", &[mode, certificate, ("sslkey", text(&encrypted))], &expected[2]),
            Trouble::new(&gate, "by_certificate", &[mode, certificate, ("sslkey", "/nowhere/key")], &expected[3]),
        ],
    );
}

fn a_login_that_is_refused_is_told(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let server = certificates.server(LOCAL);
    let gate = certificates.gate(scene);
    create_roles(&gate);
    gate.show(Some(&server));
    let file = certificates.directory.join("wrong.pgpass");
    std::fs::write(&file, format!("*:*:*:*:{SECRET}-wrong\n")).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (tls, plain) = (("sslmode", "require"), ("sslmode", "disable"));
    let wrong = |user: &'static str, given: &[(&'static str, &'static str)], expected| Trouble {
        password: Some("wrong"),
        ..Trouble::new(&gate, user, given, expected)
    };
    let none = |user: &'static str, expected| Trouble { password: None, ..Trouble::new(&gate, user, &[tls], expected) };
    let of_file = format!(
        "over TLS, scram-sha-256: FATAL: password authentication failed for user \"by_scram\" (SQLSTATE 28P01); the \
         password was read from \"{}\"",
        file.display()
    );
    let no_certificate = "over TLS: FATAL: connection requires a valid client certificate (SQLSTATE 28000)";
    let rejected = "without TLS: FATAL: pg_hba.conf rejects connection for host \"127.0.0.1\", user \"by_only_tls\", \
                    database \"powa\", no encryption (SQLSTATE 28000)";
    let troubles = [
        wrong(
            "by_scram",
            &[tls],
            "over TLS, scram-sha-256: FATAL: password authentication failed for user \"by_scram\" (SQLSTATE 28P01)",
        ),
        wrong(
            "by_md5",
            &[plain],
            "without TLS, md5: FATAL: password authentication failed for user \"by_md5\" (SQLSTATE 28P01)",
        ),
        wrong(
            "by_clear",
            &[tls],
            "over TLS, password: FATAL: password authentication failed for user \"by_clear\" (SQLSTATE 28P01)",
        ),
        // Both tries are told where there are two.
        wrong(
            "by_clear",
            &[],
            "over TLS, password: FATAL: password authentication failed for user \"by_clear\" (SQLSTATE 28P01); \
             without TLS, password: FATAL: password authentication failed for user \"by_clear\" (SQLSTATE 28P01)",
        ),
        Trouble { password: None, ..Trouble::new(&gate, "by_scram", &[tls, ("passfile", text(&file))], &of_file) },
        none("by_scram", "over TLS, scram-sha-256: the server asks for a password, but none is configured"),
        none("by_md5", "over TLS, md5: the server asks for a password, but none is configured"),
        none("by_clear", "over TLS, password: the server asks for a password, but none is configured"),
        Trouble::new(
            &gate,
            "by_clear",
            &[tls, ("require_auth", "scram-sha-256")],
            "over TLS, password: the server asks for authentication by password, but require_auth does not allow that",
        ),
        Trouble::new(
            &gate,
            "by_md5",
            &[plain, ("require_auth", "!md5")],
            "without TLS, md5: the server asks for authentication by md5, but require_auth does not allow that",
        ),
        Trouble::new(&gate, "by_only_tls", &[plain], rejected),
        Trouble::new(&gate, "by_certificate", &[tls], no_certificate),
    ];
    check(scene, &gate, &troubles);
}

/// What a collector says that ends with an error at once.
fn last_word(scene: &Scene, config: &Value, environment: &[(&str, &str)]) -> String {
    let mut command = program();
    command.arg("-c").arg(scene.config_file(&config.to_string())).envs(environment.iter().copied());
    let output = output(&command);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_no_secret("an error", [message.as_str()]);
    message
}

fn a_parameter_that_is_not_good_ends_a_collector_before_it_connects(scene: &Scene) {
    let good = scene.dsn("postgres");
    let secret = format!("{SECRET}-word");
    for (more, expected) in [
        ("nonsense=1", "\"repository.dsn\" is not a valid connection string: "),
        ("ssl_mode=require", "did you mean \"sslmode\""),
        ("gssencmode=require", "\"gssencmode\" is not supported except as disable, prefer"),
        ("oauth_issuer=a", "\"oauth_issuer\" is not supported"),
        ("sslmode=sometimes", "\"sslmode\" must be one of disable, allow"),
        ("connect_timeout=soon", "\"connect_timeout\" must be an integer"),
        ("channel_binding=maybe", "\"channel_binding\" must be one of disable"),
        ("target_session_attrs=standby", "target_session_attrs is standby"),
        ("service=gone", "service \"gone\""),
    ] {
        let message = last_word(scene, &json!({"repository": {"dsn": format!("{good} {more}")}}), &[]);
        assert!(message.contains("\"repository.dsn\"") && message.contains(expected), "{more}: {message}");
    }
    for (remote, expected) in [
        (json!({"sslmod": secret}), "unknown key \"remote.sslmod\"; did you mean \"remote.sslmode\"?"),
        (json!({"password": secret}), "\"remote.password\" is not allowed here"),
        (json!({"gssencmode": "require"}), "\"remote.gssencmode\" is invalid: "),
        (json!({"sslmode": secret}), "\"remote.sslmode\" is invalid: \"sslmode\" must be one of disable, allow"),
    ] {
        let message = last_word(scene, &json!({"repository": {"dsn": good}, "remote": remote}), &[]);
        assert!(message.contains(expected), "{remote}: {message}");
    }
    let config = json!({"repository": {"dsn": good}});
    for (variable, value, expected) in [
        ("PGSSLMODE", "sometimes", "\"sslmode\" must be one of "),
        ("PGCONNECT_TIMEOUT", "soon", "\"connect_timeout\" must be an integer"),
        ("PGSERVICE", "gone", "service \"gone\" does not exist: there is no service file"),
    ] {
        let message = last_word(scene, &config, &[(variable, value), ("HOME", "/nowhere")]);
        assert!(message.contains(expected), "{variable}: {message}");
    }
}

fn what_is_not_good_for_one_server_is_told_and_others_go_on(scene: &Scene) {
    let services = scene.directory().join("services.conf");
    std::fs::write(&services, format!("[other]\npassword={SECRET}-word\n\n[odd]\nsslmode=sometimes\n")).unwrap();
    let (lost, found, odd) = (scene.own_remote(), scene.own_remote(), scene.own_remote());
    let lost = scene.register_beside_others(Registration { alias: Some("lost"), ..lost.registration() });
    let found = scene.register_beside_others(Registration { alias: Some("found"), ..found.registration() });
    let odd = scene.register_beside_others(Registration { alias: Some("odd"), ..odd.registration() });
    let own = json!({"lost": {"service": "gone"}, "found": {"service": "other"}, "odd": {"service": "odd"}});
    let config = json!({"remote": {"servers": own}});
    let mut command = program();
    command.arg("-c").arg(scene.config(config)).env("PGSERVICEFILE", &services).env("HOME", scene.directory());
    let _collector = Collector::run(command);
    let error = scene.wait_for_error(lost, "service \"gone\" is not in ");
    assert!(error.contains("(remote server): ") && error.contains(text(&services)), "{error}");
    scene.wait_for_error(odd, "(remote server): \"sslmode\" must be one of disable, allow");
    scene.wait_for_snapshots(found, 1);
    assert_eq!(scene.snapshots(odd), 0);
    // It is looked for again, and need not be reloaded.
    std::fs::write(&services, "[gone]\n\n[other]\n").unwrap();
    scene.wait_for_snapshots(lost, 1);
}
