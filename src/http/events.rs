//! What the status page is told while it is open: everything first, then what has changed, as server-sent events.
//!
//! One task finds out, for all listeners. They are few, and who does not keep up is let go: the page comes again.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::fleet::{Fleet, Look, Told};
use super::history::{BETWEEN_POINTS, History};
use super::state::State;
use crate::control::detail::Detail;
use crate::server::ServerId;
use crate::worker::Account;

/// From one event to the next. One comes also where nothing has changed, so that a page knows whether it is still told.
const BETWEEN_EVENTS: Duration = Duration::from_secs(1);

/// Pages that may be open at once.
const MOST_LISTENERS: usize = 16;

/// Events that may wait for a listener.
const WAITING_EVENTS: usize = 16;

/// What a response is made of.
pub(super) type Frames = BoxStream<'static, Result<Frame<Bytes>, Infallible>>;

/// What is told, and to whom.
pub(super) struct Events {
    places: Arc<Semaphore>,
    known: Mutex<Known>,
}

/// What the listeners know.
struct Known {
    /// Each server as JSON.
    servers: BTreeMap<ServerId, String>,
    /// Why the daemon does not do what it is there for.
    trouble: Option<String>,
    /// The look that this is from.
    at: Option<Instant>,
    /// All of it, for those who come to listen.
    everything: Option<Bytes>,
    history: History,
    listeners: Sender<Bytes>,
}

/// A server on the page.
#[derive(Serialize)]
struct Shown {
    state: State,
    #[serde(flatten)]
    detail: Detail,
}

impl Events {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MOST_LISTENERS)), known: Mutex::default() }
    }

    /// As if nobody had ever listened.
    pub(super) fn forget(&self) {
        *self.known() = Known::default();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another listener, who is told everything first. `None` if there are as many as there may be.
    pub(super) async fn listen(&self, fleet: &Fleet) -> Option<Frames> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let look = fleet.look().await;
        let mut known = self.known();
        // Those who are there already learn it too, so that all know the same.
        if let Some(update) = known.update(&look).filter(|update| update.is_news) {
            known.tell(update.event);
        }
        let first = known.everything(&look);
        let listener = known.listeners.subscribe();
        Some(stream::unfold(Listening { first: Some(first), listener, _place: place }, Listening::next).boxed())
    }

    /// Tells whoever listens, and keeps the history. Never ends.
    pub(super) async fn go_on(&self, fleet: &Fleet) {
        let mut events = interval_at(Instant::now() + BETWEEN_EVENTS, BETWEEN_EVENTS);
        let mut points = interval_at(Instant::now() + BETWEEN_EVENTS, BETWEEN_POINTS);
        for interval in [&mut events, &mut points] {
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                _ = events.tick() => {
                    if self.known().listeners.receiver_count() == 0 {
                        // It is large.
                        self.known().everything = None;
                        continue;
                    }
                    let look = fleet.look().await;
                    let mut known = self.known();
                    let update = known.update(&look).map_or_else(|| head(&look.told).event(), |update| update.event);
                    known.tell(update);
                }
                _ = points.tick() => {
                    if let Ok(overview) = fleet.look().await.told {
                        let mut known = self.known();
                        let added = known.history.add(&overview.accounts, SystemTime::now());
                        known.everything = None;
                        known.tell(event("point", &added));
                    }
                }
            }
        }
    }
}

impl Default for Known {
    fn default() -> Self {
        let (listeners, _) = broadcast::channel(WAITING_EVENTS);
        Self {
            servers: BTreeMap::new(),
            trouble: None,
            at: None,
            everything: None,
            history: History::default(),
            listeners,
        }
    }
}

impl Known {
    fn tell(&self, event: String) {
        // There may be nobody.
        drop(self.listeners.send(event.into()));
    }

    /// Takes up how everything is, and gives what is different. `None`: it has been taken up before.
    fn update(&mut self, look: &Look) -> Option<Update> {
        if self.at == Some(look.at) {
            return None;
        }
        (self.at, self.everything) = (Some(look.at), None);
        let now = SystemTime::now();
        let mut update = head(&look.told);
        let trouble = trouble_of(&look.told);
        let mut is_news = trouble != self.trouble;
        self.trouble = trouble;
        let Ok(overview) = &look.told else { return Some(Update { event: update.event(), is_news }) };
        let shown = |(id, account): (&ServerId, &Account)| {
            let shown = Shown { state: State::of(account, now), detail: Detail::of(account) };
            (*id, serde_json::to_string(&shown).expect("its keys are texts"))
        };
        let servers: BTreeMap<_, _> = overview.accounts.iter().map(shown).collect();
        let changed: Vec<_> = servers.iter().filter(|(id, json)| self.servers.get(id) != Some(json)).collect();
        is_news |= !changed.is_empty();
        update = update.with_servers(changed.into_iter());
        let gone: Vec<_> =
            self.servers.keys().filter(|id| !servers.contains_key(id)).map(ToString::to_string).collect();
        if !gone.is_empty() {
            is_news = true;
            write!(update.0, ",\"gone\":[{}]", gone.join(",")).expect("a String takes everything");
        }
        self.servers = servers;
        Some(Update { event: update.event(), is_news })
    }

    /// Made once a look, however many come to listen.
    fn everything(&mut self, look: &Look) -> Bytes {
        if let Some(everything) = &self.everything {
            return everything.clone();
        }
        let version = env!("CARGO_PKG_VERSION");
        let mut all = head(&look.told).with_servers(self.servers.iter());
        let every = BETWEEN_POINTS.as_secs();
        let history = self.history.to_json();
        write!(all.0, ",\"version\":\"{version}\",\"every\":{every},\"history\":{history}")
            .expect("a String takes everything");
        self.everything.insert(event("everything", &all.closed()).into()).clone()
    }
}

/// What is told to those who know what was before.
struct Update {
    event: String,
    /// It tells more than the time.
    is_news: bool,
}

/// The beginning of a JSON object.
struct Object(String);

/// The time here, and how the daemon is.
fn head(told: &Told) -> Object {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let trouble = serde_json::to_string(&trouble_of(told)).expect("it is a text");
    Object(format!("{{\"now\":{now},\"trouble\":{trouble}"))
}

fn trouble_of(told: &Told) -> Option<String> {
    match told {
        Ok(overview) => overview.readiness.err().map(|reason| reason.to_string()),
        Err(silent) => Some(silent.to_string()),
    }
}

impl Object {
    fn with_servers<'a>(mut self, servers: impl Iterator<Item = (&'a ServerId, &'a String)>) -> Self {
        let members: Vec<_> = servers.map(|(id, json)| format!("\"{id}\":{json}")).collect();
        write!(self.0, ",\"servers\":{{{}}}", members.join(",")).expect("a String takes everything");
        self
    }

    fn closed(self) -> String {
        self.0 + "}"
    }

    fn event(self) -> String {
        event("update", &self.closed())
    }
}

/// JSON has no line breaks, so it is one line.
fn event(name: &str, json: &str) -> String {
    format!("event: {name}\ndata: {json}\n\n")
}

/// A page that is open.
struct Listening {
    first: Option<Bytes>,
    listener: Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Listening {
    /// The end, for one who has missed something.
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, Infallible>, Self)> {
        let bytes = match self.first.take() {
            Some(first) => first,
            None => self.listener.recv().await.ok()?,
        };
        Some((Ok(Frame::data(bytes)), self))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::Value;
    use tokio::sync::mpsc;

    use super::*;
    use crate::control::{Call, Overview};
    use crate::worker::{Progress, Status};

    fn overview(names: &[(i32, &str)]) -> Overview {
        let frequency = Duration::from_secs(5);
        let account = |(id, name): &(i32, &str)| {
            let account =
                Account { name: (*name).into(), frequency, status: Status::Running, progress: Progress::default() };
            (ServerId::new(*id).unwrap(), account)
        };
        Overview { accounts: names.iter().map(account).collect(), readiness: Ok(()), repository: None }
    }

    /// The name of the next event, and what it tells.
    async fn next(frames: &mut Frames) -> (String, Value) {
        let frame = frames.next().await.unwrap().unwrap().into_data().unwrap();
        let text = String::from_utf8(frame.into()).unwrap();
        let (name, data) = text.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        (name.to_owned(), serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_is_told_everything_first_and_then_what_has_changed() {
        let (calls, mut asked) = mpsc::channel(1);
        let (fleet, events) = (Fleet::new(calls), Events::new());
        let answer = |overview: Overview| async {
            let Some(Call::Overview(reply)) = asked.recv().await else { panic!("nobody asks") };
            reply.send(overview).unwrap();
            asked
        };
        let (listening, mut asked) = tokio::join!(events.listen(&fleet), answer(overview(&[(1, "a"), (2, "b\n")])));
        let mut frames = listening.unwrap();
        let (name, told) = next(&mut frames).await;
        assert_eq!((name.as_str(), &told["servers"]["2"]["name"]), ("everything", &"b\\n".into()));
        assert_eq!(told["servers"]["1"]["state"], "running");

        // Another one a moment later is told the same, and the first one nothing.
        let mut others = events.listen(&fleet).await.unwrap();
        assert_eq!(next(&mut others).await, ("everything".into(), told));
        assert!(frames.next().now_or_never().is_none());
        drop(others);

        tokio::time::advance(BETWEEN_EVENTS).await;
        let going_on = async {
            tokio::select! {
                () = events.go_on(&fleet) => unreachable!(),
                () = async {
                    for accounts in [overview(&[(2, "c"), (3, "d")]), overview(&[(2, "c"), (3, "d")])] {
                        let Some(Call::Overview(reply)) = asked.recv().await else { panic!("nobody asks") };
                        reply.send(accounts).unwrap();
                    }
                    std::future::pending().await
                } => {}
                () = async {
                    let told = loop {
                        let (name, told) = next(&mut frames).await;
                        if name == "update" {
                            break told;
                        }
                    };
                    assert_eq!(told["servers"]["2"]["name"], "c");
                    assert_eq!((told["servers"].as_object().unwrap().len(), &told["gone"]), (2, &[1].as_slice().into()));
                } => {}
            }
        };
        going_on.await;
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_as_many_listeners_as_there_may_be_and_no_more() {
        let (calls, _) = mpsc::channel(1);
        let (fleet, events) = (Fleet::new(calls), Events::new());
        let mut listeners = Vec::new();
        while let Some(listener) = events.listen(&fleet).await {
            listeners.push(listener);
        }
        assert_eq!(listeners.len(), MOST_LISTENERS);
        listeners.pop();
        assert!(events.listen(&fleet).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_who_does_not_keep_up_is_let_go() {
        let (calls, _) = mpsc::channel(1);
        let (fleet, events) = (Fleet::new(calls), Events::new());
        let mut frames = events.listen(&fleet).await.unwrap();
        for _ in 0..=WAITING_EVENTS {
            events.known().tell(event("update", "{}"));
        }
        assert_eq!(next(&mut frames).await.0, "everything");
        assert_eq!(events.places.available_permits(), MOST_LISTENERS - 1);
        assert!(frames.next().await.is_none());
        assert_eq!(events.places.available_permits(), MOST_LISTENERS);
    }
}
