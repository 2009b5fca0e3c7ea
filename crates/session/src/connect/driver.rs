//! The task that sends and receives the messages of an open connection.

use std::sync::{Arc, OnceLock};

use tokio::task::JoinHandle;

use tokio_util::sync::CancellationToken;

use crate::message_guard::MessageGuard;
use crate::tls::Stream;
use crate::{Side, error};

/// The driver's half of a connection. It must be polled for the client to make progress.
pub type Connection = tokio_postgres::Connection<MessageGuard<Stream>, MessageGuard<Stream>>;

/// The task that drives a connection. It ends when the client is dropped or the connection is lost.
pub struct Driver {
    pub task: JoinHandle<()>,
    /// Cancelled when the task has ended for any reason.
    pub ended: CancellationToken,
    /// Why the connection was lost. The client's own error is only "connection closed".
    pub lost: Arc<OnceLock<String>>,
}

pub fn drive(connection: Connection, side: Side) -> Driver {
    drive_until(std::future::pending(), connection, side)
}

/// Drives a connection until `end` completes, even if an answer is still outstanding.
pub fn drive_until(end: impl Future<Output = ()> + Send + 'static, mut connection: Connection, side: Side) -> Driver {
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    let lost = Arc::<OnceLock<String>>::default();
    let reason = Arc::clone(&lost);
    let task = tokio::spawn(async move {
        let _guard = guard;
        let driven = tokio::select! {
            driven = &mut connection => driven,
            () = end => Ok(()),
        };
        if let Err(error) = driven {
            let error = reason.get_or_init(|| error::chain(&error));
            tracing::debug!(target: crate::LOG_TARGET, %side, %error, "connection lost");
        }
        // The client's pending requests now fail, and it reads the reason.
        drop(connection);
    });
    Driver { task, ended, lost }
}
