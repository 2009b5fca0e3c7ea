//! The server-sent events of the status page: first the whole fleet, then what changes.
//!
//! One task samples the fleet for all subscribers. A subscriber that falls behind is disconnected, and the page reconnects.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use serde::Serialize;
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::fleet_sample::{FleetSample, FleetSampler, FleetState};
use super::history::{History, POINT_INTERVAL};
use super::server_state::ServerState;
use crate::control::detail::Detail;
use crate::server::ServerId;
use crate::server::tags::Tags;
use crate::worker::WorkerDetail;

/// Time from one event to the next. An event without changes shows the page that the connection still works.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);

/// Status pages that may be open at once.
const MAX_SUBSCRIBERS: usize = 16;

/// Events that may be queued for a subscriber.
const MAX_QUEUED_EVENTS: usize = 16;

/// The events of one subscriber, each as the bytes to send.
pub(super) type EventStream = BoxStream<'static, Bytes>;

/// Sends the events to all subscribers.
pub(super) struct Events {
    slots: Arc<Semaphore>,
    published: Mutex<Published>,
}

/// What the subscribers have received.
struct Published {
    /// Each server as JSON.
    servers: BTreeMap<ServerId, String>,
    /// Why the collector as a whole does not work as it should.
    trouble: Option<String>,
    /// The time of the sample that this is from.
    sample_time: Option<Instant>,
    /// The event with the whole fleet, for new subscribers.
    everything: Option<Bytes>,
    history: History,
    subscribers: Sender<Bytes>,
}

/// A server in the events.
#[derive(Serialize)]
struct ServerEntry<'a> {
    state: ServerState,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a Tags>,
    #[serde(flatten)]
    detail: Detail,
}

impl Events {
    pub(super) fn new() -> Self {
        Self { slots: Arc::new(Semaphore::new(MAX_SUBSCRIBERS)), published: Mutex::default() }
    }

    /// Drops the history, and disconnects all subscribers.
    pub(super) fn reset(&self) {
        *self.published() = Published::default();
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new subscriber, whose first event has the whole fleet. `None`: there are [`MAX_SUBSCRIBERS`] already.
    pub(super) async fn subscribe(&self, fleet: &FleetSampler) -> Option<EventStream> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let sample = fleet.sample().await;
        let mut published = self.published();
        // Later updates are relative to this sample, so the other subscribers need it too.
        if let Some(update) = published.update(&sample).filter(|update| update.has_changes) {
            published.send(update.event);
        }
        let first = published.everything(&sample);
        let receiver = published.subscribers.subscribe();
        Some(stream::unfold(Subscriber { first: Some(first), receiver, _slot: slot }, Subscriber::next).boxed())
    }

    /// Sends events to the subscribers, and records the history. Never returns.
    pub(super) async fn run(&self, fleet: &FleetSampler) {
        let mut events = interval_at(Instant::now() + EVENT_INTERVAL, EVENT_INTERVAL);
        let mut points = interval_at(Instant::now() + EVENT_INTERVAL, POINT_INTERVAL);
        for interval in [&mut events, &mut points] {
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                _ = events.tick() => {
                    if self.published().subscribers.receiver_count() == 0 {
                        // Nobody needs it, and it is large.
                        self.published().everything = None;
                        continue;
                    }
                    let sample = fleet.sample().await;
                    let mut published = self.published();
                    let update = published.update(&sample);
                    published.send(update.map_or_else(|| header(&sample.state).into_update(), |update| update.event));
                }
                _ = points.tick() => {
                    if let Ok(overview) = fleet.sample().await.state {
                        let mut published = self.published();
                        let added = published.history.add(&overview.workers, SystemTime::now());
                        published.everything = None;
                        published.send(event("point", &added));
                    }
                }
            }
        }
    }
}

impl Default for Published {
    fn default() -> Self {
        let (subscribers, _) = broadcast::channel(MAX_QUEUED_EVENTS);
        Self {
            servers: BTreeMap::new(),
            trouble: None,
            sample_time: None,
            everything: None,
            history: History::default(),
            subscribers,
        }
    }
}

impl Published {
    fn send(&self, event: String) {
        // It fails if there are no subscribers.
        drop(self.subscribers.send(event.into()));
    }

    /// Records a sample, and returns what is different. `None`: the sample is recorded already.
    fn update(&mut self, sample: &FleetSample) -> Option<Update> {
        if self.sample_time == Some(sample.time) {
            return None;
        }
        (self.sample_time, self.everything) = (Some(sample.time), None);
        let now = SystemTime::now();
        let mut object = header(&sample.state);
        let trouble = trouble_of(&sample.state);
        let mut has_changes = trouble != self.trouble;
        self.trouble = trouble;
        let Ok(overview) = &sample.state else { return Some(Update { event: object.into_update(), has_changes }) };
        let entry = |(id, account): (&ServerId, &WorkerDetail)| {
            let tags = overview.tags.get(id).map(Arc::as_ref);
            let entry = ServerEntry { state: ServerState::of(account, now), tags, detail: Detail::of(account) };
            (*id, serde_json::to_string(&entry).expect("all keys are strings"))
        };
        let servers: BTreeMap<_, _> = overview.workers.iter().map(entry).collect();
        let changed: Vec<_> = servers.iter().filter(|(id, json)| self.servers.get(id) != Some(json)).collect();
        has_changes |= !changed.is_empty();
        object = object.with_servers(changed.into_iter());
        let removed: Vec<_> =
            self.servers.keys().filter(|id| !servers.contains_key(id)).map(ToString::to_string).collect();
        if !removed.is_empty() {
            has_changes = true;
            write!(object.0, ",\"gone\":[{}]", removed.join(",")).expect("writing to a String cannot fail");
        }
        self.servers = servers;
        Some(Update { event: object.into_update(), has_changes })
    }

    /// The event with the whole fleet, which is made once a sample for all new subscribers.
    fn everything(&mut self, sample: &FleetSample) -> Bytes {
        if let Some(everything) = &self.everything {
            return everything.clone();
        }
        let version = env!("CARGO_PKG_VERSION");
        let mut object = header(&sample.state).with_servers(self.servers.iter());
        let every = POINT_INTERVAL.as_secs();
        let history = self.history.to_json();
        write!(object.0, ",\"version\":\"{version}\",\"every\":{every},\"history\":{history}")
            .expect("writing to a String cannot fail");
        self.everything.insert(event("everything", &object.closed()).into()).clone()
    }
}

/// The difference between two samples.
struct Update {
    event: String,
    /// Whether more than the time is different.
    has_changes: bool,
}

/// A JSON object that is not closed yet.
struct JsonObject(String);

/// The members of every event: the collector's time, what is wrong with the collector, whether its servers are known.
fn header(state: &FleetState) -> JsonObject {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let trouble = serde_json::to_string(&trouble_of(state)).expect("a string can be serialized");
    let are_known = state.as_ref().is_ok_and(|overview| overview.are_servers_known());
    JsonObject(format!("{{\"now\":{now},\"trouble\":{trouble},\"known\":{are_known}"))
}

/// What is wrong with the collector as a whole, as a sentence.
fn trouble_of(state: &FleetState) -> Option<String> {
    let not_ready = |reason: &str| Some(format!("The collector is not ready: {reason}."));
    match state {
        Ok(overview) => match &overview.readiness {
            Err(reason) => not_ready(&reason.in_full()),
            Ok(()) if overview.other_collectors.is_empty() => None,
            Ok(()) => Some(format!(
                "Another collector is connected to the repository, so every server is collected more than once: {}. Run \
                 only one collector.",
                overview.other_collectors.join("; ")
            )),
        },
        Err(unresponsive) => not_ready(&unresponsive.to_string()),
    }
}

impl JsonObject {
    fn with_servers<'a>(mut self, servers: impl Iterator<Item = (&'a ServerId, &'a String)>) -> Self {
        let members: Vec<_> = servers.map(|(id, json)| format!("\"{id}\":{json}")).collect();
        write!(self.0, ",\"servers\":{{{}}}", members.join(",")).expect("writing to a String cannot fail");
        self
    }

    fn closed(self) -> String {
        self.0 + "}"
    }

    fn into_update(self) -> String {
        event("update", &self.closed())
    }
}

/// A server-sent event. JSON has no line breaks, so one `data` line is enough.
fn event(name: &str, json: &str) -> String {
    format!("event: {name}\ndata: {json}\n\n")
}

/// An open status page.
struct Subscriber {
    first: Option<Bytes>,
    receiver: Receiver<Bytes>,
    _slot: OwnedSemaphorePermit,
}

impl Subscriber {
    /// The next event. `None`, the end of the stream, if the subscriber has missed one.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let bytes = match self.first.take() {
            Some(first) => first,
            None => self.receiver.recv().await.ok()?,
        };
        Some((bytes, self))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::Value;
    use tokio::sync::mpsc;

    use super::*;
    use crate::control::{Call, Overview};
    use crate::worker::Status;
    use crate::worker::detail::Progress;

    fn overview(names: &[(i32, &str)]) -> Overview {
        let frequency = Duration::from_secs(5);
        let account = |(id, name): &(i32, &str)| {
            let account = WorkerDetail {
                name: (*name).into(),
                alias: None,
                address: format!("{name}:5432"),
                frequency,
                timing: None,
                status: Status::Running,
                progress: Progress::default(),
            };
            (ServerId::new(*id).unwrap(), account)
        };
        Overview {
            workers: names.iter().map(account).collect(),
            tags: BTreeMap::new(),
            readiness: Ok(()),
            other_collectors: vec![],
            repository: None,
        }
    }

    /// The name of the next event, and its data.
    async fn next(events: &mut EventStream) -> (String, Value) {
        let bytes = events.next().await.unwrap();
        let text = String::from_utf8(bytes.into()).unwrap();
        let (name, data) = text.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        (name.to_owned(), serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_gets_everything_first_and_then_what_has_changed() {
        let (calls, mut requests) = mpsc::channel(1);
        let (fleet, events) = (FleetSampler::new(calls), Events::new());
        let answer = |overview: Overview| async {
            let Some(Call::Overview(reply)) = requests.recv().await else { panic!("no request") };
            reply.send(overview).unwrap();
            requests
        };
        let (subscribed, mut requests) =
            tokio::join!(events.subscribe(&fleet), answer(overview(&[(1, "a"), (2, "b\n")])));
        let mut stream = subscribed.unwrap();
        let (name, data) = next(&mut stream).await;
        assert_eq!((name.as_str(), &data["servers"]["2"]["name"]), ("everything", &"b\\n".into()));
        assert_eq!(data["servers"]["1"]["state"], "running");

        // Another subscriber a moment later gets the same, and the first one nothing.
        let mut other = events.subscribe(&fleet).await.unwrap();
        assert_eq!(next(&mut other).await, ("everything".into(), data));
        assert!(stream.next().now_or_never().is_none());
        drop(other);

        tokio::time::advance(EVENT_INTERVAL).await;
        let running = async {
            tokio::select! {
                () = events.run(&fleet) => unreachable!(),
                () = async {
                    for accounts in [overview(&[(2, "c"), (3, "d")]), overview(&[(2, "c"), (3, "d")])] {
                        let Some(Call::Overview(reply)) = requests.recv().await else { panic!("no request") };
                        reply.send(accounts).unwrap();
                    }
                    std::future::pending().await
                } => {}
                () = async {
                    let data = loop {
                        let (name, data) = next(&mut stream).await;
                        if name == "update" {
                            break data;
                        }
                    };
                    assert_eq!(data["servers"]["2"]["name"], "c");
                    assert_eq!((data["servers"].as_object().unwrap().len(), &data["gone"]), (2, &[1].as_slice().into()));
                } => {}
            }
        };
        running.await;
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_as_many_subscribers_as_there_may_be_and_no_more() {
        let (calls, _) = mpsc::channel(1);
        let (fleet, events) = (FleetSampler::new(calls), Events::new());
        let mut streams = Vec::new();
        while let Some(stream) = events.subscribe(&fleet).await {
            streams.push(stream);
        }
        assert_eq!(streams.len(), MAX_SUBSCRIBERS);
        streams.pop();
        assert!(events.subscribe(&fleet).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_that_falls_behind_is_disconnected() {
        let (calls, _) = mpsc::channel(1);
        let (fleet, events) = (FleetSampler::new(calls), Events::new());
        let mut stream = events.subscribe(&fleet).await.unwrap();
        for _ in 0..=MAX_QUEUED_EVENTS {
            events.published().send(event("update", "{}"));
        }
        assert_eq!(next(&mut stream).await.0, "everything");
        assert_eq!(events.slots.available_permits(), MAX_SUBSCRIBERS - 1);
        assert!(stream.next().await.is_none());
        assert_eq!(events.slots.available_permits(), MAX_SUBSCRIBERS);
    }
}
