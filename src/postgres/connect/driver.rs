//! What moves the bytes of a connection, once it is open.

use std::sync::{Arc, OnceLock};

use tokio::task::JoinHandle;
use tokio_postgres::Connection;
use tokio_util::sync::CancellationToken;

use crate::postgres::message_guard::MessageGuard;
use crate::postgres::tls::Stream;
use crate::postgres::{Side, error};

/// What moves between a client and its server.
pub(in crate::postgres) type Line = Connection<MessageGuard<Stream>, MessageGuard<Stream>>;

/// The task that moves a connection's bytes. It ends when the client is dropped, or the connection lost.
pub(in crate::postgres) struct Driver {
    pub(in crate::postgres) task: JoinHandle<()>,
    /// Cancelled when the task has ended, however it ended.
    pub(in crate::postgres) ended: CancellationToken,
    /// Why it was lost. The client is told no more than that it is closed.
    pub(in crate::postgres) lost: Arc<OnceLock<String>>,
}

pub(in crate::postgres) fn drive(line: Line, side: Side) -> Driver {
    drive_until(std::future::pending(), line, side)
}

/// Drives a line no longer than until an end, also one on which an answer is still to come.
pub(in crate::postgres) fn drive_until(
    end: impl Future<Output = ()> + Send + 'static,
    mut line: Line,
    side: Side,
) -> Driver {
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    let lost = Arc::<OnceLock<String>>::default();
    let reason = Arc::clone(&lost);
    let task = tokio::spawn(async move {
        let _guard = guard;
        let driven = tokio::select! {
            driven = &mut line => driven,
            () = end => Ok(()),
        };
        if let Err(error) = driven {
            let error = reason.get_or_init(|| error::chain(&error));
            tracing::debug!(%side, %error, "connection lost");
        }
        // Whereupon the client gives up what it waits for, and looks for the reason.
        drop(line);
    });
    Driver { task, ended, lost }
}
