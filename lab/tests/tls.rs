//! A server shows the certificate that it was given, and accepts the clients that it should.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use lab::{Algorithm, Authority, Cluster, Encryption, Generation, Subject, Tls};

/// What psql says of its connection, or of why there is none.
fn psql(cluster: &Cluster, conninfo: &str) -> Result<String, String> {
    let sql =
        "select ssl, coalesce(version, '-'), coalesce(client_dn, '-') from pg_stat_ssl where pid = pg_backend_pid()";
    let output =
        cluster.generation().psql().args(["-XAtwc", sql, "-d", conninfo]).env("HOME", "/nowhere").output().unwrap();
    let [message, error] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    if output.status.success() { Ok(message.trim_end().to_owned()) } else { Err(error) }
}

fn openssl(arguments: &[&str], file: &Path) -> (bool, String) {
    let output = Command::new("openssl").args(arguments).arg(file).output().unwrap();
    let message = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(message).unwrap())
}

#[test]
fn a_running_server_changes_its_certificate_and_whom_it_lets_in() {
    for generation in Generation::available().unwrap() {
        println!("on {}", generation.label());
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new(directory.path(), "root").unwrap();
        let stranger = Authority::new(directory.path(), "stranger").unwrap();
        let below = authority.intermediate("below").unwrap();
        let names = ["localhost", "127.0.0.1", "::1"];
        let good = below.issue(&Subject { names: &names, ..Subject::default() }).unwrap();
        let expired =
            authority.issue(&Subject { names: &names, valid: Subject::EXPIRED, ..Subject::default() }).unwrap();
        let alice = authority.issue(&Subject { common_name: "alice", ..Subject::default() }).unwrap();
        let eve = authority.issue(&Subject { common_name: "alice", ..Subject::default() }).unwrap();
        let revoked = authority.revoke("clients", &[&eve]).unwrap();

        let settings = [("listen_addresses", "127.0.0.1,::1"), ("unix_socket_directories", "..")];
        let cluster = Cluster::start_with(&generation, "tls", &settings).unwrap();
        cluster.connect("postgres").unwrap().batch_execute("create role alice login").unwrap();
        let to = |host: &str, more: &str| {
            psql(&cluster, &format!("host={host} port={} dbname=postgres user=postgres {more}", cluster.port()))
        };
        let trusting =
            |authority: &Authority| format!("sslmode=verify-full sslrootcert={}", authority.file().display());

        assert_eq!(to("127.0.0.1", "").unwrap(), "f|-|-");
        let serve = |certificate| {
            let tls = Tls { certificate, clients: Some(&authority.file()), revoked_clients: Some(&revoked) };
            cluster.offer_tls(&tls).unwrap();
        };
        serve(&good);
        cluster.admit(&["hostssl all alice all cert", "local all all trust", "host all all ::1/128 trust"]).unwrap();
        for host in ["127.0.0.1", "::1", "localhost"] {
            assert_eq!(to(host, &trusting(&authority)).unwrap(), "t|TLSv1.3|-", "{host}");
        }
        assert_eq!(to(cluster.directory().to_str().unwrap(), "").unwrap(), "f|-|-");
        let error = to("127.0.0.1", &trusting(&stranger)).unwrap_err();
        assert!(error.contains("certificate verify failed"), "{error}");

        let showing = |client: &lab::Certificate| {
            let files = format!("sslcert={} sslkey={}", client.file().display(), client.key().display());
            to("127.0.0.1", &format!("user=alice {files}"))
        };
        assert_eq!(showing(&alice).unwrap(), "t|TLSv1.3|/CN=alice");
        let error = showing(&eve).unwrap_err();
        assert!(error.contains("certificate revoked"), "{error}");

        serve(&expired);
        let error = to("127.0.0.1", &trusting(&authority)).unwrap_err();
        assert!(error.contains("certificate has expired") || error.contains("verify failed"), "{error}");
        assert_eq!(to("127.0.0.1", "sslmode=require").unwrap(), "t|TLSv1.3|-");
        serve(&good);
        assert_eq!(to("127.0.0.1", &trusting(&authority)).unwrap(), "t|TLSv1.3|-");

        cluster.admit(&[]).unwrap();
        assert_eq!(to("127.0.0.1", "user=alice").unwrap(), "t|TLSv1.3|-");
        let refused = format!("{:#}", cluster.admit(&["nonsense"]).unwrap_err());
        assert!(refused.contains("invalid connection type"), "{refused}");
        let refused = format!("{:#}", cluster.set(&[("ssl_cert_file", "nowhere")]).unwrap_err());
        assert!(refused.contains("nowhere"), "{refused}");
    }
}

#[test]
fn keys_are_of_all_kinds_and_protected_in_either_way() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "root").unwrap();
    for algorithm in [Algorithm::Rsa, Algorithm::Ecdsa, Algorithm::Ed25519] {
        let certificate = authority.issue(&Subject { algorithm, ..Subject::default() }).unwrap();
        let root = authority.file();
        let (ok, message) = openssl(&["verify", "-CAfile", root.to_str().unwrap()], certificate.file());
        assert!(ok, "{message}");
        for (encryption, mark) in
            [(Encryption::Pkcs8, "BEGIN ENCRYPTED PRIVATE KEY"), (Encryption::Traditional, "Proc-Type: 4,ENCRYPTED")]
        {
            let key = certificate.encrypted_key(encryption, "sesame");
            if (algorithm, encryption) == (Algorithm::Ed25519, Encryption::Traditional) {
                assert!(key.unwrap_err().to_string().contains("traditional"));
                continue;
            }
            let key = key.unwrap();
            let text = std::fs::read_to_string(&key).unwrap();
            assert!(text.contains(mark), "{text}");
            assert!(openssl(&["pkey", "-noout", "-passin", "pass:sesame", "-in"], &key).0);
            assert!(!openssl(&["pkey", "-noout", "-passin", "pass:simsim", "-in"], &key).0);
        }
    }
}
