//! Access to HTTP: tokens, TLS, and the security headers for browsers.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use lab::Registration;
use serde_json::json;

use super::http;
use crate::support::{Browser, Certificates, Scene, Watcher, output, program, tests, text, wait_for};

tests![
    whoever_has_no_token_is_turned_away_but_for_the_probes;
    since 5:
    a_token_that_was_taken_back_is_good_for_nothing_after_a_reload,
    what_others_get_to_is_not_served_without_tokens_unless_it_is_said_so,
    a_tokens_file_that_is_none_is_a_reason_not_to_start_and_not_to_reload,
    what_has_a_certificate_is_encrypted_and_a_reload_takes_up_a_new_one,
    a_certificate_without_its_key_is_refused,
    every_answer_tells_a_browser_what_it_may_not_do,
    a_page_of_somebody_else_cannot_read_what_is_for_this_machine,
    a_browser_that_has_a_token_shows_the_page,
    no_password_is_shown_to_those_who_watch,
];

/// In a password, so that it is looked for everywhere.
const TOKEN: &str = "s3cret-0123456789abcdef";

fn tokens(scene: &Scene, lines: &str) -> PathBuf {
    let file = scene.directory().join("tokens");
    std::fs::write(&file, lines).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn basic(name: &str, token: &str) -> String {
    format!("Basic {}", openssl::base64::encode_block(format!("{name}:{token}").as_bytes()))
}

fn whoever_has_no_token_is_turned_away_but_for_the_probes(scene: &Scene) {
    let file = tokens(scene, &format!("# who may\nada:{TOKEN}\n"));
    let (_collector, watcher) = scene.watched_with(json!({"tokens_file": file}));
    let status = |path: &str, authorization: &str| watcher.ask("GET", path, &[("authorization", authorization)]).status;
    for path in ["/", "/metrics", "/events", "/page.js", "/nowhere"] {
        let refused = watcher.get(path);
        assert_eq!(refused.status, 401, "{path}");
        let offered: Vec<_> = refused.headers.get_all("www-authenticate").iter().collect();
        let schemes = ["Basic realm=\"powa-collector\", charset=\"UTF-8\"", "Bearer realm=\"powa-collector\""];
        // A page that is open has no password asked for out of the blue.
        assert_eq!(offered, if path == "/events" { &schemes[1..] } else { &schemes }, "{path}");
        for wrong in [&format!("Bearer {TOKEN}x"), "Bearer", "Basic", &basic("bob", TOKEN), &basic("ada", "ada")] {
            assert_eq!(status(path, wrong), 401, "{path} {wrong}");
        }
    }
    for right in [&format!("Bearer {TOKEN}"), &basic("ada", TOKEN)] {
        for path in ["/", "/metrics"] {
            assert_eq!(status(path, right), 200, "{path}");
        }
        assert_eq!(status("/nowhere", right), 404);
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!((watcher.get(path).status, watcher.get(path).text.as_str()), (200, "ok\n"));
    }
}

fn a_token_that_was_taken_back_is_good_for_nothing_after_a_reload(scene: &Scene) {
    let file = tokens(scene, &format!("ada:{TOKEN}\nbob:{TOKEN}-of-bob\n"));
    let (collector, watcher) = scene.watched_with(json!({"tokens_file": file}));
    let bearer = |token: &str| watcher.ask("GET", "/metrics", &[("authorization", &format!("Bearer {token}"))]).status;
    let mut page = watcher.open_events_with(&format!("authorization: Bearer {TOKEN}\r\n"));
    page.next("update");
    assert_eq!(bearer(TOKEN), 200);
    tokens(scene, &format!("bob:{TOKEN}-of-bob\n"));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    assert_eq!((bearer(TOKEN), bearer(&format!("{TOKEN}-of-bob"))), (401, 200));
    // Nor may whoever came in with it stay.
    page.wait_for_end();
    // A file that is none changes nothing.
    tokens(scene, "nonsense\n");
    let answer = scene.ask("RELOAD", "");
    assert!(answer.starts_with("RELOAD KO ") && answer.contains("has no \"NAME:TOKEN\" in line 1"), "{answer}");
    assert_eq!(bearer(&format!("{TOKEN}-of-bob")), 200);
    collector.stop();
}

fn refusal(scene: &Scene, config: serde_json::Value) -> String {
    let mut command = program();
    let refused = output(command.arg("-c").arg(scene.config(json!({"http": config}))));
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{message}");
    message
}

fn what_others_get_to_is_not_served_without_tokens_unless_it_is_said_so(scene: &Scene) {
    let message = refusal(scene, json!({"listen": "0.0.0.0:0"}));
    assert!(
        message.contains("\"http.listen\" is 0.0.0.0:0, which other machines can reach; set \"http.tokens_file\""),
        "{message}"
    );
    let (collector, watcher) = scene.watched_with(json!({"listen": "0.0.0.0:0", "open_to_all": true}));
    assert_eq!(watcher.get("/metrics").status, 200);
    assert!(collector.logged("plain text").is_empty());
    let file = tokens(scene, &format!("ada:{TOKEN}\n"));
    scene.config(json!({"http": {"listen": "0.0.0.0:0", "tokens_file": file}}));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    assert!(collector.wait_for_log("tokens cross the network in plain text").contains("WARN"));
    assert_eq!(watcher.get("/metrics").status, 401);
}

fn a_tokens_file_that_is_none_is_a_reason_not_to_start_and_not_to_reload(scene: &Scene) {
    let file = tokens(scene, &format!("ada:{TOKEN}\n"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let message = refusal(scene, http(json!({"tokens_file": file})));
    assert!(
        message.contains(&format!("\"http.tokens_file\" is {}, which can be read by others", text(&file))),
        "{message}"
    );
    let message = refusal(scene, http(json!({"tokens_file": "/nowhere/at/all"})));
    assert!(
        message.contains("\"http.tokens_file\" is /nowhere/at/all, which cannot be read: No such file"),
        "{message}"
    );
    let message = refusal(scene, http(json!({"tokens_file": tokens(scene, "ada:s3cret\n")})));
    assert!(message.contains("too short"), "{message}");
}

fn what_has_a_certificate_is_encrypted_and_a_reload_takes_up_a_new_one(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let [first, second] = [&certificates.root, &certificates.stranger].map(|authority| {
        let subject = lab::Subject { common_name: "collector", names: &["127.0.0.1"], ..lab::Subject::default() };
        authority.issue(&subject).unwrap()
    });
    let [certificate, key] = ["http.crt", "http.key"].map(|name| scene.directory().join(name));
    let show = |issued: &lab::Certificate| {
        std::fs::copy(issued.file(), &certificate).unwrap();
        std::fs::copy(issued.key(), &key).unwrap();
    };
    show(&first);
    let (collector, plain) = scene.watched_with(json!({"certificate": certificate, "key": key}));
    let metrics = |authority: &lab::Authority| plain.get_encrypted("/metrics", &authority.file());
    assert!(metrics(&certificates.root).unwrap().starts_with("HTTP/1.1 200 OK"));
    assert_eq!(metrics(&certificates.stranger), None);
    assert!(plain.say(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").is_none_or(|message| !message.contains("ok")));
    assert!(!speaks(&plain, openssl::ssl::SslVersion::TLS1_1));
    assert!(speaks(&plain, openssl::ssl::SslVersion::TLS1_2));
    show(&second);
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    assert!(metrics(&certificates.stranger).unwrap().starts_with("HTTP/1.1 200 OK"));
    assert_eq!(metrics(&certificates.root), None);
    collector.stop();
}

/// Whether this version of TLS at most is spoken.
fn speaks(watcher: &Watcher, version: openssl::ssl::SslVersion) -> bool {
    use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    builder.set_verify(SslVerifyMode::NONE);
    builder.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
    builder.set_min_proto_version(Some(openssl::ssl::SslVersion::TLS1)).unwrap();
    builder.set_max_proto_version(Some(version)).unwrap();
    builder.build().connect("127.0.0.1", watcher.connect()).is_ok()
}

fn a_certificate_without_its_key_is_refused(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let [one, other] = [(), ()].map(|()| certificates.server(&["127.0.0.1"]));
    let message = refusal(scene, http(json!({"certificate": one.file()})));
    assert!(message.contains("\"http.certificate\" needs its private key"), "{message}");
    let message = refusal(scene, http(json!({"certificate": one.file(), "key": other.key()})));
    assert!(message.contains("which is not the key of \"http.certificate\""), "{message}");
    let open = one.key_with_mode(0o644).unwrap();
    let message = refusal(scene, http(json!({"certificate": one.file(), "key": open})));
    assert!(message.contains("which can be read by others"), "{message}");
    let encrypted = one.encrypted_key(lab::Encryption::Pkcs8, "s3cret").unwrap();
    let message = refusal(scene, http(json!({"certificate": one.file(), "key": encrypted})));
    assert!(message.contains("\"http.key\" is") && message.contains("cannot be used"), "{message}");
    let message = refusal(scene, http(json!({"certificate": one.key(), "key": one.key()})));
    assert!(message.contains("\"http.certificate\" is") && message.contains("contains no certificate"), "{message}");
}

fn every_answer_tells_a_browser_what_it_may_not_do(scene: &Scene) {
    let (_collector, watcher) = scene.watched();
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                  base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let expected = [
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ];
    for path in ["/", "/page.css", "/page.js", "/icon.svg", "/metrics", "/livez", "/readyz", "/nowhere"] {
        let answer = watcher.get(path);
        assert_eq!(answer.status, if path == "/nowhere" { 404 } else { 200 }, "{path}");
        for (name, value) in expected {
            assert_eq!(answer.header(name), value, "{path} {name}");
        }
        let head = watcher.ask("HEAD", path, &[]);
        assert_eq!((head.status, head.text.as_str()), (answer.status, ""), "{path}");
        let refused = watcher.ask("POST", path, &[]);
        assert_eq!(refused.status, if path == "/nowhere" { 404 } else { 405 }, "{path}");
    }
    // One that is not read on leaves its place, and HEAD takes none: more than there are may ask.
    for _ in 0..17 {
        assert_eq!(watcher.ask("HEAD", "/events", &[]).status, 200);
        let mut page = wait_for("a place", || watcher.try_to_open_events());
        page.next("everything");
    }
    let pages: Vec<_> = (0..16).map(|_| wait_for("a place", || watcher.try_to_open_events())).collect();
    assert_eq!(pages.len(), 16, "none is taken for good");
    assert_eq!(watcher.ask("DELETE", "/events", &[]).header("allow"), "GET, HEAD");
    let page = watcher.get("/").text;
    assert!(!page.contains("<style") && !page.contains("style=") && !page.contains("onclick"), "nothing inline");
}

fn a_page_of_somebody_else_cannot_read_what_is_for_this_machine(scene: &Scene) {
    let (collector, watcher) = scene.watched();
    let status = |path: &str, host: &str| watcher.ask("GET", path, &[("host", host)]).status;
    for path in ["/", "/metrics", "/events"] {
        assert_eq!(status(path, "evil.example"), 421, "{path}");
    }
    assert_eq!((status("/metrics", "localhost:9187"), status("/livez", "any.example")), (200, 200));
    // Who asks for tokens may be called anything.
    let file = tokens(scene, &format!("ada:{TOKEN}\n"));
    scene.config(json!({"http": http(json!({"tokens_file": file}))}));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    let authorization = format!("Bearer {TOKEN}");
    let answer = watcher.ask("GET", "/metrics", &[("host", "any.example"), ("authorization", &authorization)]);
    assert_eq!(answer.status, 200);
    collector.stop();
}

fn a_browser_that_has_a_token_shows_the_page(scene: &Scene) {
    scene.register();
    // What is in the address of a page is in the page, for a script: not one that is looked for.
    let token = "0123456789abcdef";
    let file = tokens(scene, &format!("ada:{token}\n"));
    let (_collector, watcher) = scene.watched_with(json!({"tokens_file": file}));
    let browser = Browser::at(&format!("http://ada:{token}@{}/", watcher.address));
    browser.wait_until("document.querySelectorAll('tr[data-state=running]').length === 1");
    assert_eq!(browser.complaints(), [""; 0]);
}

fn no_password_is_shown_to_those_who_watch(scene: &Scene) {
    let role = format!("watched_{}", scene.number());
    let guarded = format!("create role {role} login superuser password 'other' in role password_required");
    scene.remote("powa").batch_execute(&guarded).unwrap();
    let registration = Registration { username: &role, ..Registration::of(scene.remote_server()) };
    scene.register_as(registration);
    let (collector, watcher) = scene.watched_with(json!({"tokens_file": tokens(scene, &format!("ada:{TOKEN}\n"))}));
    let authorization = format!("Bearer {TOKEN}");
    collector.wait_for_log("password authentication failed");
    let mut page = watcher.open_events_with(&format!("authorization: {authorization}\r\n"));
    // All that is told is looked at for one; this is what might have it.
    let mut output = page.next("everything");
    while !output.to_string().contains("password authentication failed") {
        output = page.next("update");
    }
    for path in ["/metrics", "/", "/livez", "/readyz", "/nowhere"] {
        watcher.ask("GET", path, &[("authorization", &authorization)]);
    }
    collector.stop();
    scene.remote("powa").batch_execute(&format!("drop role {role}")).unwrap();
}
