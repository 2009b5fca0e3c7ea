//! `check` and other commands report problems of the machine: socket directories, ports that are in use, and variables
//! that only the service has.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use lab::Registration;
use serde_json::json;

use crate::support::check::{assert_well, check_json, complaints, cures, server};
use crate::support::{Certificates, Collector, SECRET, Scene, operate, output, program, tests};

tests![
    a_socket_that_is_not_there_is_told_with_its_folder_and_not_with_listen_addresses,
    a_host_that_can_be_none_is_explained_whoever_wrote_it;
    since 5:
    an_address_that_another_program_listens_on_is_wrong_and_the_collectors_own_is_well,
    a_variable_that_only_the_service_has_is_asked_for_only_where_it_is_needed,
];

fn a_socket_that_is_not_there_is_told_with_its_folder_and_not_with_listen_addresses(scene: &Scene) {
    let directory = scene.directory().join("sockets");
    let directory = directory.to_str().unwrap();
    std::fs::create_dir(directory).unwrap();
    // One that nobody listens on any more.
    let left = format!("{directory}/.s.PGSQL.7");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    let gone = format!("{directory}/gone");
    let register = |hostname, port, alias| {
        let of_remote = Registration::of(scene.remote_server());
        scene.register_beside_others(Registration { hostname, port, alias: Some(alias), ..of_remote })
    };
    let (no_directory, no_socket, left_over) =
        (register(&gone, 7, "no directory"), register(directory, 8, "no socket"), register(directory, 7, "left over"));
    let (code, output) = check_json(scene, json!({}), &[]);
    assert_eq!(code, 1);
    for (id, expected) in [
        (
            no_directory,
            format!("start PostgreSQL on this machine on port 7 with \"{gone}\" in unix_socket_directories"),
        ),
        (no_socket, format!("there is no socket \"{directory}/.s.PGSQL.8\"")),
        (left_over, format!("the socket \"{left}\" exists, but no server listens on it")),
    ] {
        let found = server(&output, id);
        let advice = cures(found, "advice");
        assert!(advice[0].contains(&expected), "{expected}: {found:#}");
        assert_eq!(advice[1], format!("powa-collector servers set {id} --host ..."), "{found:#}");
        assert!(!advice.iter().any(|cure| cure.contains("listen_addresses")), "{found:#}");
    }
    // Of the repository, too.
    let dsn = format!("host={gone} port=7 user=nobody password={SECRET} dbname=powa");
    let (code, output) = check_json(scene, json!({"repository": {"dsn": dsn}}), &[]);
    assert_eq!(code, 2);
    let advice = cures(&output["repository"], "advice");
    assert!(advice[0].contains("unix_socket_directories") && !advice[0].contains("listen_addresses"), "{output:#}");
}

fn a_host_that_can_be_none_is_explained_whoever_wrote_it(scene: &Scene) {
    let config = scene.config(json!({}));
    for (host, expected) in [
        ("http://db1", "a URL is not a host name: use host db1"),
        ("db1:5433", "use host db1, and give port 5433 separately (--host HOST --port PORT)"),
    ] {
        let refused = operate(&config, &["servers", "add", "--no-password", "--host", host]);
        assert!(refused.code == 2 && refused.errors.contains(expected), "{host}: {}", refused.errors);
    }
    // By powa_register_server(), anything can be registered.
    let odd = Registration { hostname: "db1:5433", ..Registration::of(scene.remote_server()) };
    let server_with_port = scene.register_as(odd);
    let (_, output) = check_json(scene, json!({}), &[]);
    let [complaint] = complaints(server(&output, server_with_port))[..] else { panic!("{output:#}") };
    let message = complaint["said"].as_str().unwrap();
    assert!(complaint["what"] == "name" && message.contains("a host cannot contain a port; use host db1"), "{message}");
    // Of the repository, too; and what could be a host is explained where nobody is there.
    for (host, expected) in [
        ("http://db1", "a URL is not a host name: use host db1"),
        ("db1:5433", "a host cannot contain a port; use host db1, and give port 5433"),
        ("::1:5433", "if 5433 is the port, use host ::1"),
        ("/tmp:5433", "if 5433 is the port, use directory /tmp"),
    ] {
        let dsn = format!("host='{host}' user=nobody password={SECRET} dbname=powa connect_timeout=3");
        let (code, output) = check_json(scene, json!({"repository": {"dsn": dsn}}), &[]);
        let [complaint] = complaints(&output["repository"])[..] else { panic!("{output:#}") };
        assert!(code == 2 && complaint["said"].as_str().unwrap().contains(expected), "{host}: {output:#}");
        let cures = complaint["cures"].as_array().unwrap();
        assert!(cures.len() == 1 && cures[0]["where"] == "configuration", "{host}: {output:#}");
    }
}

fn an_address_that_another_program_listens_on_is_wrong_and_the_collectors_own_is_well(scene: &Scene) {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let listen = |address: &str| json!({"http": {"listen": address}});
    let (code, told) = check_json(scene, listen(&address.to_string()), &[]);
    assert_eq!(code, 1);
    let [complaint] = complaints(&told["configuration"])[..] else { panic!("{told:#}") };
    assert_eq!((&complaint["what"], &complaint["mark"]), (&json!("http"), &json!("wrong")));
    let message = format!("the collector cannot start: another program listens on http.listen = {address}");
    assert_eq!(complaint["said"], message);
    let ss = format!("'sport = :{}'", address.port());
    assert!(cures(&told["configuration"], "advice")[0].contains(&ss), "{told:#}");
    // That is what the collector says of it, too.
    let mut command = program();
    let refused = output(command.arg("-c").arg(scene.config(listen(&address.to_string()))));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("Address already in use"));

    drop(other);
    assert_well(&check_json(scene, listen(&address.to_string()), &[]));
    let collector = Collector::start(&scene.config(listen(&address.to_string())));
    collector.wait_for_log("ready");
    assert_well(&check_json(scene, listen(&address.to_string()), &[]));
    // The one that runs may serve in another way than the one that would be started now.
    let certificates = Certificates::of(scene);
    let one = certificates.server(&["localhost", "127.0.0.1"]);
    let encrypted = json!({"http": {"listen": address.to_string(), "certificate": one.file(), "key": one.key()}});
    assert_well(&check_json(scene, encrypted.clone(), &[]));
    collector.stop();
    let collector = Collector::start(&scene.config(encrypted.clone()));
    collector.wait_for_log("ready");
    assert_well(&check_json(scene, encrypted, &[]));
    // An address for documentation, which no machine has.
    let (code, told) = check_json(scene, json!({"http": {"listen": "192.0.2.1:9187", "open_to_all": true}}), &[]);
    assert_eq!(code, 1);
    let message = complaints(&told["configuration"])[0]["said"].as_str().unwrap();
    assert!(message.contains("192.0.2.1:9187 is not an address of this machine"), "{message}");
}

fn a_variable_that_only_the_service_has_is_asked_for_only_where_it_is_needed(scene: &Scene) {
    let credentials = scene.directory().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    for (name, content) in [("tokens", "prometheus:0123456789abcdef0123456789abcdef"), ("password", SECRET)] {
        std::fs::write(credentials.join(name), content).unwrap();
        std::fs::set_permissions(credentials.join(name), PermissionsExt::from_mode(0o600)).unwrap();
    }
    let watched = json!({"http": {"listen": "127.0.0.1:0", "tokens_file": "${CREDENTIALS_DIRECTORY}/tokens"}});
    let config = scene.config(watched.clone());
    for arguments in [&["servers", "list"][..], &["status"]] {
        let printed = operate(&config, arguments);
        assert!(!printed.errors.contains("CREDENTIALS_DIRECTORY"), "{arguments:?}: {}", printed.errors);
    }
    assert_eq!(operate(&config, &["servers", "list"]).code, 0);
    let (code, told) = check_json(scene, watched.clone(), &[]);
    assert_eq!((code, &told["result"]), (0, &json!("warning")), "{told:#}");
    let [complaint] = complaints(&told["configuration"])[..] else { panic!("{told:#}") };
    assert!(complaint["said"].as_str().unwrap().contains("systemd sets it for a service whose unit"), "{told:#}");
    // Whoever serves cannot do without.
    let mut serving = program();
    let refused = output(serving.arg("-c").arg(scene.config(watched.clone())));
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(
        refused.status.code() == Some(1) && message.contains("\"http.tokens_file\" needs the environment"),
        "{message}"
    );

    // What a command needs, it says how to get; and that works.
    let dsn = scene.dsn("postgres").replace(&format!(" password={SECRET}"), "");
    let repository = json!({"dsn": dsn, "password_file": "${CREDENTIALS_DIRECTORY}/password"});
    let needed = json!({"http": watched["http"], "repository": repository});
    let config = scene.config(needed);
    let refused = operate(&config, &["servers", "list"]);
    let expected = "\"repository.password_file\" needs the environment variable \"CREDENTIALS_DIRECTORY\", which is not set; \
                    systemd sets it for a service whose unit has LoadCredential=; for a command, set it to the directory \
                    that contains the file";
    assert!(refused.code == 1 && refused.errors.contains(expected), "{}", refused.errors);
    for (name, value) in [
        ("CREDENTIALS_DIRECTORY", credentials.display().to_string()),
        ("POWA_COLLECTOR__REPOSITORY__PASSWORD_FILE", credentials.join("password").display().to_string()),
    ] {
        let mut listing = program();
        let listed = output(listing.arg("-c").arg(&config).args(["servers", "list"]).env(name, value));
        assert_eq!(listed.status.code(), Some(0), "{}", String::from_utf8_lossy(&listed.stderr));
    }
}
