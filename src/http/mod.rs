//! How the daemon is watched by HTTP: probes, metrics and a status page, where the configuration names an address.
//!
//! Nothing here touches a worker, or waits for one: what is to be shown is asked of the main task, once a second at most,
//! whoever wants to know. `server` keeps strangers from costing more than that.

mod auth;
mod events;
mod fleet;
mod history;
mod metrics;
mod page;
mod prepared;
mod routes;
mod server;
mod state;
mod tls;
mod visitor;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

pub use prepared::{Error, Files, Prepared};

use crate::control::Call;
use crate::metrics::Metrics;
use prepared::Face;
use routes::Site;

/// One that failed may do so again: that must not be all there is to do.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The task that serves, while the configuration names an address.
pub struct Server {
    site: Arc<Site>,
    serving: Option<Serving>,
}

struct Serving {
    listener: Arc<TcpListener>,
    face: Arc<Face>,
    task: AbortOnDropHandle<()>,
}

impl Server {
    /// Serves nobody yet.
    pub fn new(calls: mpsc::Sender<Call>, metrics: Metrics) -> Self {
        Self { site: Arc::new(Site::new(calls, metrics)), serving: None }
    }

    /// Serves as it was prepared, and not as before. Where that is the same, nobody is cut off.
    pub fn take_up(&mut self, prepared: Prepared) {
        let before = self.serving.take();
        let Prepared { listen, listener, face } = prepared;
        if listen.is_none() {
            if let Some(before) = before {
                before.face.retire();
                tracing::info!("nobody is served by HTTP any more");
                self.site.events.forget();
            }
            return;
        }
        let listener = match (listener, &before) {
            (Some(listener), _) => Arc::new(listener),
            (None, Some(same)) if same.face.is_as(&face) => {
                self.serving = before;
                return;
            }
            (None, Some(before)) => Arc::clone(&before.listener),
            (None, None) => return,
        };
        // Whoever is there came in with tokens that may not be good any more.
        before.iter().for_each(|before| before.face.retire());
        drop(before);
        face.warn();
        if let Ok(address) = listener.local_addr() {
            let scheme = if face.is_encrypted() { "https" } else { "http" };
            tracing::info!(url = %format_args!("{scheme}://{address}/"), tokens = face.takes_tokens(), "serving HTTP");
        }
        self.begin(listener, Arc::new(face), Duration::ZERO);
    }

    fn begin(&mut self, listener: Arc<TcpListener>, face: Arc<Face>, pause: Duration) {
        let serve = server::serve(Arc::clone(&listener), Arc::clone(&face), Arc::clone(&self.site));
        let task = tokio::spawn(async move {
            sleep(pause).await;
            serve.await;
        });
        let task = AbortOnDropHandle::new(task);
        self.serving = Some(Serving { listener, face, task });
    }

    /// Waits for an end that nobody asked for, and begins anew. Safe to drop.
    pub async fn tend(&mut self) {
        let Some(serving) = &mut self.serving else { return std::future::pending().await };
        if let Err(error) = (&mut serving.task).await {
            tracing::error!(%error, "the task that serves HTTP failed");
        }
        if let Some(Serving { listener, face, .. }) = self.serving.take() {
            self.begin(listener, face, AFTER_FAILURE);
        }
    }

    /// Ends at once: whoever is served is cut off.
    pub async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.task.abort();
            // It is as it was asked to be: cancelled.
            drop(serving.task.await);
        }
    }
}
