//! What the service manager (systemd) is told: that the daemon is ready, that it reloads or stops, how it is, and that its
//! main task still turns. Where there is no such manager nothing happens, and telling it neither waits nor fails.

use std::collections::VecDeque;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use crate::one_line::on_one_line;

/// How often it is told how the daemon is, at most.
const BETWEEN_STATUSES: Duration = Duration::from_secs(10);

/// When it is told for the first time since the daemon was ready: much happens then.
const FIRST_STATUS: Duration = Duration::from_secs(2);

/// When what it must hear is said again, if it could not be.
const UNTIL_SAID_AGAIN: Duration = Duration::from_secs(1);

/// Bytes of a status. What is longer than 4096 in all is not taken by systemd.
const LONGEST_STATUS: usize = 1024;

/// For a stop, on top of what the configuration gives it.
const TO_END: Duration = Duration::from_secs(5);

/// The service manager, if there is one.
pub struct Service(Option<Manager>);

struct Manager {
    address: SocketAddr,
    /// When the watchdog is to be fed.
    watchdog: Option<Interval>,
    statuses: Interval,
    /// The last that was said.
    status: String,
    /// What it must hear, and has not yet.
    unsaid: VecDeque<String>,
    say_again: Instant,
    is_deaf: bool,
}

impl Service {
    /// The one that started this process, according to the environment. To be called within the runtime.
    pub fn of_environment() -> Self {
        let socket = std::env::var("NOTIFY_SOCKET").ok().filter(|socket| !socket.is_empty());
        Self(socket.and_then(|socket| match address(&socket) {
            Ok(address) => Some(Manager::at(address, sd_notify::watchdog_enabled())),
            Err(error) => {
                tracing::warn!("NOTIFY_SOCKET names no socket: {error}; the service manager is told nothing");
                None
            }
        }))
    }

    /// The start, or the reload, is done.
    pub fn ready(&mut self) {
        self.must_hear(&[NotifyState::Ready]);
        if let Some(manager) = &mut self.0 {
            manager.statuses.reset_after(FIRST_STATUS);
        }
    }

    /// A reload begins.
    pub fn reloading(&mut self) {
        self.forget_unsaid();
        // Without the time, systemd could not tell it from a reload that began before the one it waits for.
        let now = NotifyState::monotonic_usec_now().ok();
        self.must_hear(&[NotifyState::Reloading].into_iter().chain(now).collect::<Vec<_>>());
    }

    /// The end begins, and takes no longer than this: whatever the unit says, it is to be waited for.
    pub fn stopping(&mut self, within: Duration) {
        self.forget_unsaid();
        let within = u32::try_from((within + TO_END).as_micros()).unwrap_or(u32::MAX);
        self.must_hear(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(within)]);
    }

    /// How the daemon is. What was said before is not said again.
    pub fn status(&mut self, status: &str) {
        if let Some(manager) = &mut self.0 {
            manager.status(status);
        }
    }

    /// Waits for the time to say how the daemon is. The watchdog is fed meanwhile, and only then: by the task that waits
    /// here, while it turns. Safe to drop.
    pub async fn turn(&mut self) {
        match &mut self.0 {
            Some(manager) => manager.turn().await,
            None => std::future::pending().await,
        }
    }

    fn must_hear(&mut self, states: &[NotifyState]) {
        if let Some(manager) = &mut self.0 {
            manager.unsaid.push_back(message(states));
            manager.say_the_unsaid();
        }
    }

    /// What comes next counts in its place.
    fn forget_unsaid(&mut self) {
        if let Some(manager) = &mut self.0 {
            manager.unsaid.clear();
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
            watchdog: watchdog.map(|patience| patience / 2).filter(|half| !half.is_zero()).map(every),
            statuses: every(BETWEEN_STATUSES),
            status: String::new(),
            unsaid: VecDeque::new(),
            say_again: Instant::now(),
            is_deaf: false,
        }
    }

    async fn turn(&mut self) {
        loop {
            tokio::select! {
                () = tick(&mut self.watchdog) => drop(self.say(&message(&[NotifyState::Watchdog]))),
                () = sleep_until(self.say_again), if !self.unsaid.is_empty() => self.say_the_unsaid(),
                _ = self.statuses.tick() => return,
            }
        }
    }

    fn status(&mut self, status: &str) {
        let status = on_one_line(status);
        let status = &status[..status.floor_char_boundary(LONGEST_STATUS)];
        // What it must hear goes before; and what it does not hear now is said the next time.
        if status != self.status && self.unsaid.is_empty() && self.say(&message(&[NotifyState::Status(status)])).is_ok()
        {
            self.status = status.to_owned();
        }
    }

    fn say_the_unsaid(&mut self) {
        while let Some(next) = self.unsaid.pop_front() {
            if self.say(&next).is_err() {
                self.unsaid.push_front(next);
                self.say_again = Instant::now() + UNTIL_SAID_AGAIN;
                return;
            }
        }
    }

    fn say(&mut self, message: &str) -> io::Result<()> {
        let said = send(&self.address, message);
        if let Err(error) = &said
            && !self.is_deaf
        {
            tracing::warn!("the service manager could not be told how the daemon is: {error}");
        }
        self.is_deaf = said.is_err();
        said
    }
}

/// How the daemon is, in words. `last` is how long ago the last snapshot of any server was.
pub fn summary(servers: usize, running: usize, last: Option<Duration>) -> String {
    let noun = if servers == 1 { "server" } else { "servers" };
    let last = last.map(|last| format!(", last snapshot {} s ago", last.as_secs())).unwrap_or_default();
    format!("{servers} {noun}, {running} running{last}")
}

/// A path, or the name of an abstract socket after an `@`.
fn address(socket: &str) -> io::Result<SocketAddr> {
    match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    }
}

/// By a socket of its own, as one that has lost its other end would not find it again. The library would wait for a
/// manager that does not read.
fn send(address: &SocketAddr, message: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(message.as_bytes(), address).map(drop)
}

fn message(states: &[NotifyState]) -> String {
    states.iter().map(|state| format!("{state}\n")).collect()
}

/// For ever, if there is nothing to wait for.
async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hears what is said at its address.
    struct Hears {
        socket: UnixDatagram,
        _folder: tempfile::TempDir,
    }

    impl Hears {
        fn next(&self) -> Option<String> {
            let mut room = [0; 8192];
            self.socket.recv(&mut room).ok().map(|length| String::from_utf8(room[..length].into()).unwrap())
        }
    }

    fn manager(watchdog: Option<Duration>) -> (Service, Hears) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = address(path.to_str().unwrap()).unwrap();
        (Service(Some(Manager::at(address, watchdog))), Hears { socket, _folder: folder })
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
        assert_eq!(manager.next().unwrap(), format!("STATUS={}\n", "é".repeat(LONGEST_STATUS / 2)));
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
        // What is outdated is not said.
        for call in [Service::ready, Service::reloading, Service::ready, Service::reloading, Service::ready] {
            call(&mut service);
        }
        service.status("well");
        service.turn().await;
        for _ in 0..until_full {
            assert_eq!(manager.next().unwrap(), "WATCHDOG=1\n");
        }
        service.turn().await;
        let all: Vec<_> = std::iter::from_fn(|| manager.next()).filter(|said| said != "WATCHDOG=1\n").collect();
        assert!(all[0].starts_with("RELOADING=1\nMONOTONIC_USEC="), "{all:?}");
        assert_eq!(all[1..], ["READY=1\n"]);
        service.status("well");
        assert_eq!(manager.next().unwrap(), "STATUS=well\n");
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_twice_in_its_time_and_without_one_not_at_all() {
        for (patience, fed) in [(Some(2), 10..=11), (None, 0..=0), (Some(0), 0..=0)] {
            let (mut service, manager) = manager(patience.map(Duration::from_secs));
            // The first status is due at once.
            service.turn().await;
            service.turn().await;
            let times = std::iter::from_fn(|| manager.next()).filter(|said| said == "WATCHDOG=1\n").count();
            assert!(fed.contains(&times), "{times} for {patience:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_at_the_address_is_nobodys_problem() {
        let (mut service, manager) = manager(Some(Duration::from_secs(1)));
        drop(manager);
        service.ready();
        service.status("well");
        service.turn().await;
        assert_eq!(service.0.unwrap().unsaid, ["READY=1\n"]);
    }
}
