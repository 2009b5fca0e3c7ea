//! The task that owns one remote server: it waits, takes a snapshot, and tells how it went.

mod account;
mod context;
mod handle;
mod next;
pub mod schedule;
mod status;
mod take;
mod trouble;
mod waiting;

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub use account::{Account, Phase, Progress, is_overdue};
pub use context::Context;
pub use handle::{ForceRefused, Forced, Handle, TOO_SOON};
pub use status::Status;

use crate::postgres::{Endpoint, Registration, Side, Sources};
use crate::server::Server;
use crate::snapshot::{self, Sessions};
use handle::Shared;
use next::{Next, State};
use schedule::{Last, Schedule};
use take::{SILENCE, held_until};
use trouble::{Step, Trouble};
use waiting::Waiting;

/// The worker of one server, before it runs.
pub struct Worker {
    server: Server,
    context: Context,
    shared: Arc<Shared>,
    cancel: CancellationToken,
    name: String,
    schedule: Schedule,
    sessions: Sessions,
    /// What the repository wanted the last time it could be asked.
    known: Option<Sources>,
    last: Option<Last>,
    versions_are_saved: bool,
    /// Set while something keeps the worker from its work.
    trouble: Option<Trouble>,
    /// What was collected, and could not be loaded yet.
    waiting: Option<Waiting>,
    errors: Vec<String>,
}

impl Worker {
    /// A worker, and the handle to it. It does nothing until it runs.
    pub fn new(server: Server, context: Context, cancel: CancellationToken) -> (Self, Handle) {
        let (handle, shared) = Handle::new(server.clone(), cancel.clone());
        let name = context.name_of(&server);
        let worker = Self {
            schedule: Schedule::new(server.id, server.frequency),
            sessions: Sessions::new(Endpoint::remote(&server, &name, &context.config, &context.connectors)),
            name,
            server,
            context,
            shared,
            cancel,
            known: None,
            last: None,
            versions_are_saved: false,
            trouble: None,
            waiting: None,
            errors: Vec::new(),
        };
        (worker, handle)
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self) {
        while !self.cancel.is_cancelled() {
            // The name may change, so each step has a span of its own.
            let span = tracing::info_span!("server", id = self.server.id.get(), name = self.name);
            self.step().instrument(span).await;
        }
        self.sessions.close();
    }

    async fn step(&mut self) {
        self.read_mail();
        let cancel = self.cancel.clone();
        let next = self.next();
        self.tell_of(&next);
        // What is done rarely is on the heap only then: hundreds of workers do nothing but wait.
        match next {
            Next::Wait(until) => self.wait(until).await,
            Next::Load => Box::pin(self.load(None)).await,
            Next::Snapshot { due } => Box::pin(self.snapshot(due)).await,
            // Dropped half-way, it leaves a connection that closes by itself.
            Next::Connect => tokio::select! {
                () = cancel.cancelled() => {}
                () = Box::pin(self.connect()) => {}
            },
        }
    }

    fn next(&self) -> Next {
        let (now, clock) = (SystemTime::now(), Instant::now());
        let state = State {
            pause: self.trouble.as_ref().and_then(|trouble| trouble.pause(clock)),
            is_loaded: self.waiting.is_none(),
            is_ready: self.is_ready(),
            is_forced: self.shared.is_forced(),
            due: self.last.map_or(now, |last| self.schedule.due(last, now)),
        };
        state.next(now, clock)
    }

    /// Those who watch learn what comes next, and when.
    fn tell_of(&self, next: &Next) {
        let (phase, at) = match next {
            // It may sleep for less than that.
            Next::Wait(until) if self.trouble_pauses() => (Phase::Idle, Some(on_the_wall(*until))),
            Next::Wait(_) => (Phase::Idle, self.last.map(|last| self.schedule.due(last, SystemTime::now()))),
            Next::Connect => (Phase::Connecting, None),
            Next::Load => (Phase::WaitingToLoad, None),
            Next::Snapshot { due } => (Phase::WaitingToCollect, Some(*due)),
        };
        self.shared.tell(|progress| {
            progress.phase = phase;
            progress.next = at.or(progress.next);
        });
    }

    fn trouble_pauses(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.pause(Instant::now()).is_some())
    }

    fn is_ready(&self) -> bool {
        self.sessions.are_open() && self.versions_are_saved && self.last.is_some()
    }

    async fn wait(&mut self, until: Instant) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = self.shared.mail() => {}
            () = self.sessions.closed() => {
                tracing::debug!("connection to the remote server lost");
                self.sessions.close();
                self.shared.set_unreachable(Some(Side::Remote));
            }
            () = sleep_until(until) => {}
        }
    }

    fn read_mail(&mut self) {
        let mail = self.shared.take_mail();
        if mail.check_versions {
            self.versions_are_saved = false;
        }
        if let Some((server, context)) = mail.settings {
            self.change(server, context);
        }
        if let Some(trouble) = &mut self.trouble {
            let is_over = mail.repository_is_back && trouble.unreachable() == Some(Side::Repository);
            // Anybody may have asked for a reload: it must not use up the tries to load.
            let is_worth_a_look = mail.check_versions && !trouble.is_about(Step::Load);
            if mail.hurry || is_over || is_worth_a_look {
                trouble.retry(Instant::now());
            }
        }
    }

    fn change(&mut self, server: Server, context: Context) {
        let name = context.name_of(&server);
        let endpoint = Endpoint::remote(&server, &name, &context.config, &context.connectors);
        if !self.sessions.are_of(&endpoint) {
            self.sessions.close();
            self.sessions = Sessions::new(endpoint);
        }
        if !context.repository.is_same_database(&self.context.repository) {
            // What is known is of another repository, and what waits is for it.
            (self.known, self.last, self.versions_are_saved) = (None, None, false);
            self.shared.tell(|progress| progress.last = None);
            if let Some(waiting) = self.waiting.take() {
                tracing::warn!("the repository is another one: {} are lost", waiting.collected);
                self.shared.end_snapshot(waiting.refresh);
            }
        }
        if server.frequency != self.server.frequency {
            self.schedule = Schedule::new(server.id, server.frequency);
            // One that is older than the new frequency is overdue.
            let now = SystemTime::now();
            if let Some(begun) = self.last.and_then(Last::begun) {
                self.last = Some(self.schedule.resume(now.duration_since(begun).ok(), now));
            }
        }
        tracing::debug!(frequency = server.frequency.as_secs(), "settings changed");
        (self.name, self.server, self.context) = (name, server, context);
    }

    /// Gets to where snapshots can be taken: connected, with the versions saved and the last snapshot known.
    ///
    /// It takes a turn, as collecting does: a fleet that was just started would connect all at once, and keep itself waiting.
    async fn connect(&mut self) {
        let collects = Arc::clone(&self.context.collects);
        let mut turn = Some(collects.acquire_owned().await.expect("nobody closes the semaphore"));
        match held_until(sleep(SILENCE), &mut turn, self.try_to_connect()).await {
            Ok(()) => match &self.trouble {
                // Whether that has gone, the next snapshot shows.
                Some(trouble) if !trouble.ends_with_connection() => {
                    let unreachable = trouble.unreachable().filter(|side| *side == Side::Repository);
                    self.shared.set_unreachable(unreachable);
                }
                _ => self.connected(),
            },
            Err(error) => self.stumble(Step::Prepare, error).await,
        }
    }

    async fn try_to_connect(&mut self) -> Result<(), snapshot::Error> {
        // Beside, as those who watch want to know it also of a server that is not there.
        let (repository, server, is_known) = (&self.context.repository, self.server.id, self.last.is_some());
        let registration = async { if is_known { None } else { Some(repository.registration(server).await) } };
        let (session, registration) = tokio::join!(self.sessions.main(), registration);
        if let Some(Ok(Registration::Present(age))) = registration {
            let last = self.schedule.resume(age, SystemTime::now());
            self.shared.tell(|progress| progress.last = last.begun());
            self.last = Some(last);
        }
        let session = session.map_err(snapshot::Error::NoSession)?;
        if !self.versions_are_saved {
            let versions = session.versions().await?;
            // Not saved is a pity, and no reason to take no snapshot.
            match self.context.repository.save_versions(self.server.id, &versions).await {
                Err(error) if error.is_connection() => return Err(error.into()),
                Err(error) => tracing::warn!(error = error.in_full(), "versions were not saved"),
                Ok(()) => {}
            }
            self.versions_are_saved = true;
        }
        match registration.transpose()? {
            Some(Registration::Missing) => Err(snapshot::Error::NotRegistered),
            Some(Registration::Present(_)) | None => Ok(()),
        }
    }

    /// Nothing is in the way any more.
    fn connected(&mut self) {
        if let Some(trouble) = self.trouble.take().filter(|trouble| !trouble.lost().is_empty()) {
            tracing::info!(was = trouble.reason(), "connected again");
            trouble.lost().iter().for_each(|side| self.context.metrics.reconnected(*side));
        }
        self.shared.tell(|progress| progress.trouble = None);
        self.shared.set_unreachable(None);
    }

    /// Something is in the way: says so, once, and plans the next try.
    async fn stumble(&mut self, step: Step, error: snapshot::Error) {
        if !error.is_of_repository() {
            // Whatever state the sessions are in: nothing may go on there.
            self.sessions.cancel().await;
        }
        self.trip_over(step, error.to_string(), error.unreachable_side()).await;
    }

    async fn trip_over(&mut self, step: Step, reason: String, unreachable: Option<Side>) {
        self.shared.set_unreachable(unreachable);
        unreachable.into_iter().for_each(|side| self.context.metrics.unreachable(side));
        let failure = (step, reason, unreachable);
        let (trouble, is_news) = Trouble::after(self.trouble.take(), failure, self.server.frequency, Instant::now());
        if is_news {
            tracing::error!("{}", trouble.reason());
        }
        let trouble = self.trouble.insert(trouble);
        self.shared.tell(|progress| {
            progress.trouble = Some(trouble.reason().to_owned());
            progress.failures += 1;
        });
        if !trouble.is_stored && unreachable != Some(Side::Repository) {
            let errors = [trouble.reason().to_owned()];
            match self.context.repository.replace_errors(self.server.id, &errors).await {
                Ok(()) => trouble.is_stored = true,
                Err(error) => tracing::debug!(error = error.in_full(), "the error was not stored in the repository"),
            }
        }
    }
}

/// The time on the wall at a moment to come.
fn on_the_wall(moment: Instant) -> SystemTime {
    SystemTime::now() + moment.duration_since(Instant::now())
}

impl Drop for Worker {
    /// However it ends, by a panic too.
    fn drop(&mut self) {
        self.shared.finish();
        if let Some(waiting) = &self.waiting {
            let (id, lost) = (self.server.id.get(), &waiting.collected);
            tracing::warn!(id, name = self.name, "ended before the snapshot was loaded: {lost} are lost");
        }
    }
}
