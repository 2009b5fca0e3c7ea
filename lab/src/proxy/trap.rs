//! Waits until a stream contains certain bytes, and then acts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use memchr::memmem;

/// What a trap does when it is triggered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Freezes the whole proxy, as [`Proxy::freeze`](super::Proxy::freeze) does.
    Freeze,
    /// Resets the connection on which the bytes came, and no other.
    Cut,
}

/// The trap, if one is set, for all connections of a proxy.
#[derive(Default)]
pub(super) struct Traps {
    laid: Mutex<Laid>,
    last_sprung: AtomicU64,
}

#[derive(Default)]
struct Laid {
    /// Traps are told apart by number, beginning with 1.
    number: u64,
    trap: Option<(Vec<u8>, Act)>,
}

impl Traps {
    pub(super) fn lay(&self, bytes: &[u8], act: Act) {
        let mut laid = self.laid();
        laid.number += 1;
        laid.trap = Some((bytes.to_vec(), act));
    }

    pub(super) fn has_sprung(&self) -> bool {
        let laid = self.laid();
        laid.number > 0 && self.last_sprung.load(Ordering::SeqCst) == laid.number
    }

    fn laid(&self) -> MutexGuard<'_, Laid> {
        self.laid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of the trap for one connection.
#[derive(Default)]
pub(super) struct Lookout {
    number: u64,
    /// The end of the stream since the trap was set, too short to be a match.
    tail: Vec<u8>,
    caught: Option<(u64, Act)>,
}

impl Lookout {
    /// Searches the next bytes of the stream. If they complete the bytes of the trap, the trap is taken, and the end of the
    /// match in `bytes` is returned.
    pub(super) fn look(&mut self, traps: &Traps, bytes: &[u8]) -> Option<usize> {
        let mut laid = traps.laid();
        let (wanted, act) = laid.trap.as_ref()?;
        if self.number != laid.number {
            self.number = laid.number;
            self.tail.clear();
        }
        let before = self.tail.len();
        self.tail.extend_from_slice(bytes);
        let Some(start) = memmem::find(&self.tail, wanted) else {
            let keep = self.tail.len().min(wanted.len().saturating_sub(1));
            self.tail.drain(..self.tail.len() - keep);
            return None;
        };
        let end = start + wanted.len() - before;
        self.caught = Some((laid.number, *act));
        laid.trap = None;
        Some(end)
    }

    /// The action of the trap that was taken.
    pub(super) fn act(&self) -> Act {
        self.caught.expect("it is asked for after a match").1
    }

    /// Marks the trap, if one was taken, as done.
    pub(super) fn report(&mut self, traps: &Traps) {
        if let Some((number, _)) = self.caught.take() {
            traps.last_sprung.fetch_max(number, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_across_the_borders_of_reads_once_and_only_after_the_trap_was_laid() {
        let traps = Traps::default();
        let mut lookout = Lookout::default();
        assert_eq!(lookout.look(&traps, b"the need"), None);
        traps.lay(b"needle", Act::Cut);
        assert!(!traps.has_sprung());
        assert_eq!(lookout.look(&traps, b"le, n"), None);
        assert_eq!(lookout.look(&traps, b"e"), None);
        assert_eq!(lookout.look(&traps, b"edle in"), Some(4));
        assert_eq!(lookout.act(), Act::Cut);
        assert!(!traps.has_sprung());
        lookout.report(&traps);
        assert!(traps.has_sprung());
        assert_eq!(lookout.look(&traps, b"needle"), None);
        traps.lay(b"needle", Act::Freeze);
        assert!(!traps.has_sprung());
    }

    #[test]
    fn each_connection_is_a_stream_of_its_own() {
        let traps = Traps::default();
        traps.lay(b"needle", Act::Freeze);
        let (mut one, mut other) = (Lookout::default(), Lookout::default());
        assert_eq!(one.look(&traps, b"nee"), None);
        assert_eq!(other.look(&traps, b"dle"), None);
        assert_eq!(one.look(&traps, b"dle"), Some(3));
    }
}
