//! Notifies the service manager (systemd, `sd_notify`) that the daemon is ready, reloads or stops, of its status, and feeds
//! the watchdog. Without a service manager it does nothing. It never blocks, and failures are only logged.

use std::collections::VecDeque;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use session::on_one_line;

/// How often the status is sent.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// The delay of the first status after the daemon is ready, when it changes quickly.
const FIRST_STATUS_DELAY: Duration = Duration::from_secs(2);

/// How soon a required message that could not be sent is sent again.
const RESEND_INTERVAL: Duration = Duration::from_secs(1);

/// The longest status in bytes. systemd ignores messages of more than 4096 bytes.
const MAX_STATUS_BYTES: usize = 1024;

/// The time that the service manager is asked to allow for a stop beyond `timeouts.stop`.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// The service manager, if there is one.
pub(crate) struct Service(Option<Manager>);

struct Manager {
    address: SocketAddr,
    /// When to feed the watchdog, if it is enabled.
    watchdog: Option<Interval>,
    statuses: Interval,
    /// The last status that was sent.
    status: String,
    /// Required messages that could not be sent yet.
    unsent: VecDeque<String>,
    resend_at: Instant,
    has_failed: bool,
}

impl Service {
    /// The service manager that started this process, according to the environment. Must be called within the runtime.
    pub(crate) fn from_environment() -> Self {
        let socket = std::env::var("NOTIFY_SOCKET").ok().filter(|socket| !socket.is_empty());
        Self(socket.and_then(|socket| match address(&socket) {
            Ok(address) => Some(Manager::at(address, sd_notify::watchdog_enabled())),
            Err(error) => {
                tracing::warn!("NOTIFY_SOCKET is invalid: {error}; not notifying the service manager");
                None
            }
        }))
    }

    /// Reports that the start or a reload is done.
    pub(crate) fn ready(&mut self) {
        self.send_required(&[NotifyState::Ready]);
        if let Some(manager) = &mut self.0 {
            manager.statuses.reset_after(FIRST_STATUS_DELAY);
        }
    }

    /// Reports that a reload begins.
    pub(crate) fn reloading(&mut self) {
        self.clear_unsent();
        // With the time, systemd can distinguish it from a reload that began before the one it waits for.
        let now = NotifyState::monotonic_usec_now().ok();
        self.send_required(&[NotifyState::Reloading].into_iter().chain(now).collect::<Vec<_>>());
    }

    /// Reports that the daemon is stopping, and extends the stop timeout of the unit to this time.
    pub(crate) fn stopping(&mut self, within: Duration) {
        self.clear_unsent();
        let within = u32::try_from((within + STOP_MARGIN).as_micros()).unwrap_or(u32::MAX);
        self.send_required(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(within)]);
    }

    /// Sends the status, if it has changed.
    pub(crate) fn status(&mut self, status: &str) {
        if let Some(manager) = &mut self.0 {
            manager.status(status);
        }
    }

    /// Waits until the next status is due. Also feeds the watchdog, which so depends on the calling task being alive.
    /// Cancel-safe.
    pub(crate) async fn next_status(&mut self) {
        match &mut self.0 {
            Some(manager) => manager.next_status().await,
            None => std::future::pending().await,
        }
    }

    fn send_required(&mut self, states: &[NotifyState]) {
        if let Some(manager) = &mut self.0 {
            manager.unsent.push_back(message(states));
            manager.send_unsent();
        }
    }

    /// Drops unsent messages that the next one supersedes.
    fn clear_unsent(&mut self) {
        if let Some(manager) = &mut self.0 {
            manager.unsent.clear();
        }
    }
}

impl Manager {
    fn at(address: SocketAddr, watchdog: Option<Duration>) -> Self {
        let every = |period| {
            let mut interval = interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        Self {
            address,
            watchdog: watchdog.map(|timeout| timeout / 2).filter(|half| !half.is_zero()).map(every),
            statuses: every(STATUS_INTERVAL),
            status: String::new(),
            unsent: VecDeque::new(),
            resend_at: Instant::now(),
            has_failed: false,
        }
    }

    async fn next_status(&mut self) {
        loop {
            tokio::select! {
                () = tick(&mut self.watchdog) => drop(self.send(&message(&[NotifyState::Watchdog]))),
                () = sleep_until(self.resend_at), if !self.unsent.is_empty() => self.send_unsent(),
                _ = self.statuses.tick() => return,
            }
        }
    }

    fn status(&mut self, status: &str) {
        let status = on_one_line(status);
        let status = &status[..status.floor_char_boundary(MAX_STATUS_BYTES)];
        // Required messages go first. A status that cannot be sent is sent the next time.
        if status != self.status
            && self.unsent.is_empty()
            && self.send(&message(&[NotifyState::Status(status)])).is_ok()
        {
            self.status = status.to_owned();
        }
    }

    fn send_unsent(&mut self) {
        while let Some(next) = self.unsent.pop_front() {
            if self.send(&next).is_err() {
                self.unsent.push_front(next);
                self.resend_at = Instant::now() + RESEND_INTERVAL;
                return;
            }
        }
    }

    fn send(&mut self, message: &str) -> io::Result<()> {
        let sent = send(&self.address, message);
        if let Err(error) = &sent
            && !self.has_failed
        {
            tracing::warn!("could not notify the service manager: {error}");
        }
        self.has_failed = sent.is_err();
        sent
    }
}

/// The status of the daemon as text. `last` is the age of the last snapshot of any server.
pub(crate) fn summary(servers: usize, running: usize, last: Option<Duration>) -> String {
    let noun = if servers == 1 { "server" } else { "servers" };
    let last = last.map(|last| format!(", last snapshot {} s ago", last.as_secs())).unwrap_or_default();
    format!("{servers} {noun}, {running} running{last}")
}

/// Parses a path, or the name of an abstract socket after an `@`.
fn address(socket: &str) -> io::Result<SocketAddr> {
    match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    }
}

/// Sends a message without blocking, which `sd_notify` would do if the service manager does not read. Each message has its own
/// socket, as a connected one would not survive a restart of the service manager.
fn send(address: &SocketAddr, message: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(message.as_bytes(), address).map(drop)
}

fn message(states: &[NotifyState]) -> String {
    states.iter().map(|state| format!("{state}\n")).collect()
}

/// Waits for the next tick; forever if there is no interval.
async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Receives the messages at its address.
    struct FakeManager {
        socket: UnixDatagram,
        _folder: tempfile::TempDir,
    }

    impl FakeManager {
        fn next(&self) -> Option<String> {
            let mut room = [0; 8192];
            self.socket.recv(&mut room).ok().map(|length| String::from_utf8(room[..length].into()).unwrap())
        }
    }

    fn manager(watchdog: Option<Duration>) -> (Service, FakeManager) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = address(path.to_str().unwrap()).unwrap();
        (Service(Some(Manager::at(address, watchdog))), FakeManager { socket, _folder: directory })
    }

    #[test]
    fn a_summary_counts() {
        assert_eq!(
            summary(42, 41, Some(Duration::from_millis(2_900))),
            "42 servers, 41 running, last snapshot 2 s ago"
        );
        assert_eq!(summary(1, 1, None), "1 server, 1 running");
        assert_eq!(summary(0, 0, None), "0 servers, 0 running");
    }

    #[tokio::test]
    async fn a_status_is_one_short_line_and_said_once() {
        let (mut service, manager) = manager(None);
        service.status("all is well\nREADY=1");
        service.status("all is well\nREADY=1");
        assert_eq!(manager.next().unwrap(), "STATUS=all is well\\nREADY=1\n");
        assert_eq!(manager.next(), None);
        service.status(&"é".repeat(5_000));
        assert_eq!(manager.next().unwrap(), format!("STATUS={}\n", "é".repeat(MAX_STATUS_BYTES / 2)));
    }

    #[tokio::test]
    async fn a_stop_has_the_time_that_the_configuration_gives_it() {
        let (mut service, manager) = manager(None);
        service.stopping(Duration::from_secs(40));
        assert_eq!(manager.next().unwrap(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=45000000\n");
        service.stopping(Duration::from_secs(86_400));
        assert_eq!(manager.next().unwrap(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=4294967295\n");
    }

    #[tokio::test(start_paused = true)]
    async fn what_must_be_heard_is_said_until_it_is() {
        let (mut service, manager) = manager(Some(Duration::from_secs(4)));
        let mut until_full = 0;
        while send(&service.0.as_ref().unwrap().address, "WATCHDOG=1\n").is_ok() {
            until_full += 1;
        }
        // Outdated messages are dropped.
        for call in [Service::ready, Service::reloading, Service::ready, Service::reloading, Service::ready] {
            call(&mut service);
        }
        service.status("well");
        service.next_status().await;
        for _ in 0..until_full {
            assert_eq!(manager.next().unwrap(), "WATCHDOG=1\n");
        }
        service.next_status().await;
        let all: Vec<_> = std::iter::from_fn(|| manager.next()).filter(|sent| sent != "WATCHDOG=1\n").collect();
        assert!(all[0].starts_with("RELOADING=1\nMONOTONIC_USEC="), "{all:?}");
        assert_eq!(all[1..], ["READY=1\n"]);
        service.status("well");
        assert_eq!(manager.next().unwrap(), "STATUS=well\n");
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_twice_in_its_time_and_without_one_not_at_all() {
        for (timeout, fed) in [(Some(2), 10..=11), (None, 0..=0), (Some(0), 0..=0)] {
            let (mut service, manager) = manager(timeout.map(Duration::from_secs));
            // The first status is due at once.
            service.next_status().await;
            service.next_status().await;
            let times = std::iter::from_fn(|| manager.next()).filter(|sent| sent == "WATCHDOG=1\n").count();
            assert!(fed.contains(&times), "{times} for {timeout:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_at_the_address_is_nobodys_problem() {
        let (mut service, manager) = manager(Some(Duration::from_secs(1)));
        drop(manager);
        service.ready();
        service.status("well");
        service.next_status().await;
        assert_eq!(service.0.unwrap().unsent, ["READY=1\n"]);
    }
}
