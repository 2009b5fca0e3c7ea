//! A terminal that is told not to echo stays so when the program is ended by a signal, unless somebody sees to it.

use std::io::{self, stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// Asks for something on the terminal of standard input, which is as before when that is answered, or the program is ended.
///
/// # Errors
/// What is asked cannot be answered, or the terminal is none.
pub(super) fn restored_after<T>(asking: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    const ENDS: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

    let before = tcgetattr(stdin())?;
    // From then on a signal does what it did before: to be taken over once is for good.
    let is_answered = Arc::new(AtomicBool::new(false));
    for signal in ENDS {
        register_conditional_default(signal, Arc::clone(&is_answered))?;
    }
    let mut signals = Signals::new(ENDS)?;
    let nobody_waits = signals.handle();
    let watching = thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // If that fails, nothing can be done about it.
            let _ = tcsetattr(stdin(), SetArg::TCSANOW, &before);
            eprintln!();
            let _ = emulate_default_handler(signal);
        }
    });
    let answer = asking();
    is_answered.store(true, Ordering::SeqCst);
    nobody_waits.close();
    drop(watching.join());
    answer
}
