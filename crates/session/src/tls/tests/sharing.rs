//! Tests of the cache of connectors.

use std::time::{Duration, Instant, SystemTime};

use super::super::connectors::Now;
use super::*;

/// A time, in seconds, at which all files written so far are old enough.
fn at(seconds: u64) -> Now {
    let later = Duration::from_secs(3600 + seconds);
    Now { wall: SystemTime::now() + later, monotonic: Instant::now() + later }
}

impl Client {
    fn connector_at(&self, seconds: u64) -> Arc<Connector> {
        self.connectors.read_at(&self.tls, at(seconds)).unwrap()
    }

    /// Whether the cached connector is used again.
    fn is_shared(&self) -> bool {
        Arc::ptr_eq(&self.connector_at(0), &self.connector_at(0))
    }
}

#[test]
fn connections_with_equal_settings_share_a_connector() {
    let mut client = Client::trusting(SslMode::VerifyFull, &Issued::root("root"));
    let first = client.connector_at(0);
    for seconds in (0..10_000).step_by(500) {
        assert!(Arc::ptr_eq(&first, &client.connector_at(seconds)), "{seconds}");
    }
    let other = Connectors::default();
    assert!(!Arc::ptr_eq(&first, &other.read_at(&client.tls, at(0)).unwrap()));
    client.tls.sni = false;
    let without_sni = client.connector_at(0);
    assert!(!Arc::ptr_eq(&first, &without_sni));
    client.tls.sni = true;
    assert!(Arc::ptr_eq(&first, &client.connector_at(1)));
}

#[test]
fn a_second_reader_waits_for_the_first() {
    let client = Client::trusting(SslMode::VerifyFull, &Issued::root("root"));
    let all: Vec<_> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..16).map(|_| scope.spawn(|| client.connector_at(0))).collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    assert!(all.iter().all(|connector| Arc::ptr_eq(connector, &all[0])));
}

#[test]
fn a_changed_file_is_read_again() {
    let root = Issued::root("root");
    let client = Client::trusting(SslMode::VerifyFull, &root);
    client.shows(&root.issues(&PLAIN));
    client.write("root.crl", &root.revokes(&[]));
    for name in ["root.crt", "root.crl", "postgresql.crt", "postgresql.key"] {
        let file = client.path(name);
        let content = fs::read(&file).unwrap();
        let before = client.connector_at(0);
        let is_new = |what: &str| {
            let now = client.connector_at(0);
            assert!(!Arc::ptr_eq(&before, &now), "{name} {what}");
            assert!(client.is_shared(), "{name} {what}");
        };
        // A replacement of the same length and age.
        let times = fs::FileTimes::new().set_modified(fs::metadata(&file).unwrap().modified().unwrap());
        let other = client.write("other", &content);
        fs::File::options().write(true).open(&other).unwrap().set_times(times).unwrap();
        fs::rename(other, &file).unwrap();
        is_new("replaced");
        let before = client.connector_at(0);
        client.write(name, &[&content[..], b"\n"].concat());
        assert!(!Arc::ptr_eq(&before, &client.connector_at(0)), "{name} longer");
        let before = client.connector_at(0);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(!Arc::ptr_eq(&before, &client.connector_at(0)), "{name} with another mode");
    }
    let before = client.connector_at(0);
    fs::remove_file(client.path("root.crl")).unwrap();
    let without = client.connector_at(0);
    assert!(!Arc::ptr_eq(&before, &without) && client.is_shared());
    client.write("root.crl", &root.revokes(&[]));
    assert!(!Arc::ptr_eq(&without, &client.connector_at(0)));
}

#[test]
fn errors_are_not_cached() {
    let root = Issued::root("root");
    let client = Client::trusting(SslMode::VerifyFull, &root);
    let read = || client.connectors.read_at(&client.tls, at(0));
    let before = read().unwrap();
    client.write("root.crt", b"nonsense");
    for _ in 0..2 {
        assert!(read().is_err());
    }
    client.write("root.crt", &root.pem());
    assert!(!Arc::ptr_eq(&before, &read().unwrap()));
}

#[test]
fn a_connector_from_a_recent_file_is_not_cached() {
    let client = Client::trusting(SslMode::VerifyFull, &Issued::root("root"));
    let now = Now { wall: SystemTime::now(), monotonic: Instant::now() };
    let read = || client.connectors.read_at(&client.tls, now).unwrap();
    assert!(!Arc::ptr_eq(&read(), &read()));
    assert!(client.is_shared());
}

#[test]
fn untracked_files_are_cached_for_a_minute() {
    let mut client = Client::trusting(SslMode::VerifyFull, &Issued::root("root"));
    let directory = Tls { crl_directory: Some(client.path("")), ..client.tls.clone() };
    let system = Tls { root_certificates: RootCertificates::System, ..client.tls.clone() };
    for tls in [directory, system] {
        client.tls = tls;
        let first = client.connector_at(0);
        assert!(Arc::ptr_eq(&first, &client.connector_at(50)));
        assert!(!Arc::ptr_eq(&first, &client.connector_at(61)));
    }
}

#[test]
fn unused_connectors_are_dropped() {
    let mut client = Client::trusting(SslMode::VerifyFull, &Issued::root("root"));
    let unused = Arc::downgrade(&client.connector_at(0));
    client.tls.sni = false;
    client.connector_at(500);
    assert!(unused.upgrade().is_some());
    client.connector_at(700);
    assert!(unused.upgrade().is_none());
    let used = Arc::downgrade(&client.connector_at(700));
    client.connector_at(1200);
    client.tls.sni = true;
    client.connector_at(1500);
    assert!(used.upgrade().is_some());
}
