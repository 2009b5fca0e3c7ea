//! Hooks: a program and a webhook are notified once that a server has failed, and once that it has recovered. Whatever
//! they do, snapshots go on.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use lab::{Proxy, Registration};
use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};
use serde_json::{Value, json};

use crate::support::{Certificates, Collector, SECRET, Scene, program, tests, wait_until};

tests![
    a_program_runs_once_when_a_server_fails_and_once_when_it_has_recovered,
    a_webhook_gets_both_and_an_answer_that_means_later_is_tried_again,
    a_webhook_with_a_certificate_that_is_not_trusted_gets_nothing,
    a_hook_that_hangs_is_killed_with_its_children_and_holds_nothing_up,
];

/// A program that appends a line to a file: what it was given.
fn recorder(scene: &Scene, script: &str) -> (PathBuf, PathBuf) {
    let (file, events) = (scene.directory().join("hook"), scene.directory().join("events"));
    let text = format!("#!/bin/sh\nevents={}\n{script}\n", events.display());
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&events, "").unwrap();
    (file, events)
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap().lines().map(Into::into).collect()
}

/// A server behind a proxy that can be cut.
fn behind(scene: &Scene, proxy: &Proxy) -> i32 {
    scene.register_as(Registration {
        hostname: proxy.host(),
        port: proxy.port(),
        ..Registration::of(scene.remote_server())
    })
}

fn a_program_runs_once_when_a_server_fails_and_once_when_it_has_recovered(scene: &Scene) {
    let proxy = Proxy::to(scene.remote_server()).unwrap();
    let server = behind(scene, &proxy);
    let (hook, events) = recorder(
        scene,
        "echo \"$1|$POWA_EVENT|$POWA_SERVER_ID|$POWA_SERVER|$POWA_ERROR|$(env | grep -c PASSWORD)\" >> $events",
    );
    let hooks = json!({"on_failure": [hook, "down"], "on_recovery": [hook, "up"], "delay": 1});
    let collector = scene.collector_with(json!({"hooks": hooks}));
    scene.wait_for_snapshots(server, 1);
    assert_eq!(lines(&events), [""; 0]);
    proxy.refuse();
    proxy.cut();
    wait_until("the failure to be an event", || lines(&events).len() == 1);
    let address = format!("127.0.0.1:{}", proxy.port());
    let failure = lines(&events).remove(0);
    let expected = format!("down|failure|{server}|{address}|could not connect to {address}");
    assert!(failure.starts_with(&expected) && failure.ends_with("|0"), "{failure}");
    collector.wait_for_log("the program was called");
    proxy.accept().unwrap();
    wait_until("the recovery to be an event", || lines(&events).len() == 2);
    assert!(lines(&events)[1].starts_with(&format!("up|recovery|{server}|{address}|")), "{:?}", lines(&events));
    let stored = scene.snapshots(server);
    assert!(stored >= 2, "it has recovered when a snapshot is stored");
    scene.wait_for_snapshots(server, stored + 1);
    assert_eq!(lines(&events).len(), 2);
    // Without hooks after a reload, nothing runs.
    scene.config(json!({}));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    proxy.refuse();
    proxy.cut();
    collector.wait_for_log("could not connect to");
    scene.wait_for_status(server, "no connection to remote server");
    proxy.accept().unwrap();
    scene.wait_for_snapshots(server, scene.snapshots(server) + 1);
    assert_eq!(lines(&events).len(), 2);
}

/// Answers each request with the next of these status lines, then with the last one for ever, and passes the requests on.
fn receiver(acceptor: Option<SslAcceptor>, statuses: &'static [&'static str]) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, requests) = channel();
    let acceptor = acceptor.map(Arc::new);
    thread::spawn(move || {
        let mut statuses = statuses.iter().copied();
        let mut last = "";
        for stream in listener.incoming() {
            last = statuses.next().unwrap_or(last);
            let Ok(stream) = stream else { return };
            let request = match &acceptor {
                None => answer(stream, last),
                Some(acceptor) => match acceptor.accept(stream) {
                    Ok(stream) => answer(stream, last),
                    Err(_) => continue,
                },
            };
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (port, requests)
}

fn answer(mut stream: impl Read + Write, status: &str) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let length = text.split_once("content-length: ").and_then(|(_, rest)| rest.split_once("\r\n")?.0.parse().ok());
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
        if body.is_some() && body >= length {
            break;
        }
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => request.extend(&buffer[..read]),
            _ => break,
        }
    }
    stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).ok();
    String::from_utf8(request).unwrap()
}

fn body(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// A collector that trusts an authority as if it were the system's.
fn trusting(scene: &Scene, authority: &Path, hooks: Value) -> Collector {
    let mut command = program();
    command.arg("-c").arg(scene.config(json!({"hooks": hooks}))).env("SSL_CERT_FILE", authority);
    Collector::run(command)
}

fn acceptor(certificates: &Certificates) -> SslAcceptor {
    let certificate = certificates.server(&["127.0.0.1", "localhost"]);
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate_chain_file(certificate.file()).unwrap();
    acceptor.set_private_key_file(certificate.key(), SslFiletype::PEM).unwrap();
    acceptor.build()
}

fn a_webhook_gets_both_and_an_answer_that_means_later_is_tried_again(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let (port, requests) = receiver(
        Some(acceptor(&certificates)),
        &["503 Service Unavailable", "429 Too Many Requests", "204 No Content"],
    );
    let proxy = Proxy::to(scene.remote_server()).unwrap();
    let server = behind(scene, &proxy);
    proxy.refuse();
    let hooks = json!({"webhook": format!("https://localhost:{port}/hook/{SECRET}?a=b"), "delay": 0});
    let collector = trusting(scene, &certificates.root.file(), hooks);
    let first = requests.recv().unwrap();
    assert!(first.starts_with(&format!("POST /hook/{SECRET}?a=b HTTP/1.1\r\n")), "{first}");
    let failure = body(&first);
    assert_eq!((&failure["event"], &failure["server"]["id"]), (&json!("failure"), &json!(server)));
    let error = failure["error"].as_str().unwrap();
    assert!(error.contains("could not connect") && failure["text"].as_str().unwrap().ends_with(error), "{failure}");
    assert_eq!(
        [requests.recv().unwrap(), requests.recv().unwrap()].map(|again| body(&again)),
        [failure.clone(), failure]
    );
    collector.wait_for_log("the webhook was called");
    proxy.accept().unwrap();
    assert_eq!(body(&requests.recv().unwrap())["event"], "recovery");
    assert!(requests.try_recv().is_err());
    assert!(collector.log().iter().all(|line| !line.contains("/hook/")));
}

fn a_webhook_with_a_certificate_that_is_not_trusted_gets_nothing(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let (port, requests) = receiver(Some(acceptor(&certificates)), &["204 No Content"]);
    scene.register_as(Registration { port: 1, ..Registration::of(scene.remote_server()) });
    let hooks = json!({"webhook": format!("https://localhost:{port}/hook"), "delay": 0});
    let collector = trusting(scene, &certificates.stranger.file(), hooks);
    let warning = collector.wait_for_log("the webhook failed: localhost: ");
    assert!(warning.contains("certificate verify failed") && warning.contains(" WARN "), "{warning}");
    assert!(requests.try_recv().is_err());
}

fn a_hook_that_hangs_is_killed_with_its_children_and_holds_nothing_up(scene: &Scene) {
    let well = scene.register();
    for number in 0..6 {
        scene.register_beside_others(Registration {
            port: 1,
            alias: Some(&format!("down {number}")),
            ..Registration::of(scene.remote_server())
        });
    }
    let (hook, events) = recorder(scene, "sleep 1000 & echo $! >> $events; wait");
    let hooks = json!({"on_failure": hook, "delay": 0, "timeout": 2});
    let collector = scene.collector_with(json!({"hooks": hooks}));
    wait_until("as many as may to run", || lines(&events).len() >= 4);
    // Others wait for them, and snapshots do not.
    scene.wait_for_snapshots(well, scene.snapshots(well) + 1);
    wait_until("all of them to have run", || lines(&events).len() == 6);
    wait_until("all of them to be killed", || collector.logged("was killed after 2 s").len() == 6);
    let is_running = |child: &String| {
        Path::new("/proc").join(child).join("cmdline").exists()
            && fs::read(Path::new("/proc").join(child).join("cmdline")).is_ok_and(|line| line.starts_with(b"sleep"))
    };
    wait_until("their children to be gone", || !lines(&events).iter().any(is_running));
    // One that cannot be started is a warning.
    scene.config(json!({"hooks": {"on_failure": "/nowhere/hook", "delay": 0}}));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    scene.register_beside_others(Registration {
        port: 1,
        alias: Some("down too"),
        ..Registration::of(scene.remote_server())
    });
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    collector.wait_for_log("could not start \"/nowhere/hook\": No such file or directory");
}
