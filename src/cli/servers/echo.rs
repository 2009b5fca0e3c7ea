//! The terminal has its echo again when nobody answers, but presses Ctrl-C: the library that asks would end the program
//! before it has seen to that.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;
use signal_hook::flag::register_conditional_default;
use signal_hook::low_level::emulate_default_handler;

/// Asks for something, and ends the program by the signal afterwards if that was interrupted.
///
/// # Errors
/// It cannot be asked, or answered.
pub(super) fn restored_after<T>(asking: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // Until then the signal does nothing: the library tells of it by an error.
    let is_over = Arc::new(AtomicBool::new(false));
    register_conditional_default(SIGINT, Arc::clone(&is_over))?;
    let answer = asking();
    is_over.store(true, Ordering::SeqCst);
    if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
        emulate_default_handler(SIGINT)?;
    }
    answer
}
