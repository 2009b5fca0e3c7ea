//! Memory for the rows of one snapshot that is returned to the operating system as soon as it is freed.
//!
//! It is an anonymous mapping, not memory of the allocator: the allocator keeps freed memory between blocks that are still in
//! use, so after the first snapshots of a large fleet the daemon would keep its peak size.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::MmapMut;

use super::budget::Reservation;

/// How many bytes of the budget are reserved at a time.
const RESERVATION_STEP: usize = 64 * 1024;

/// An append-only buffer of a fixed capacity. The operating system allocates its pages when they are written.
pub(super) struct MappedBuffer {
    pages: MmapMut,
    length: usize,
    reservation: Reservation,
}

/// A range of a buffer. It keeps the buffer alive.
struct BufferSlice(Arc<MappedBuffer>, Range<usize>);

impl MappedBuffer {
    /// Creates an empty buffer of this capacity in bytes.
    ///
    /// # Errors
    /// The operating system refuses the mapping.
    pub(super) fn new(capacity: usize, reservation: Reservation) -> io::Result<Self> {
        let pages = MmapMut::map_anon(capacity)?;
        // A huge page would use more memory than was reserved. Kernels without huge pages return an error, which is harmless.
        #[cfg(target_os = "linux")]
        drop(pages.advise(memmap2::Advice::NoHugePage));
        Ok(Self { pages, length: 0, reservation })
    }

    /// Appends the bytes if they fit into the buffer and the budget. Returns whether they did.
    pub(super) fn try_append(&mut self, bytes: &[u8]) -> bool {
        let end = self.length + bytes.len();
        if end > self.pages.len() {
            return false;
        }
        let missing = end.saturating_sub(self.reservation.bytes());
        if missing > 0 {
            let step = missing.next_multiple_of(RESERVATION_STEP).min(self.pages.len() - self.reservation.bytes());
            if !self.reservation.try_grow(step) {
                return false;
            }
        }
        self.pages[self.length..end].copy_from_slice(bytes);
        self.length = end;
        true
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.pages[..self.length]
    }

    /// A range of the buffer, without copying it.
    pub(super) fn slice(self: &Arc<Self>, range: Range<usize>) -> Bytes {
        Bytes::from_owner(BufferSlice(Arc::clone(self), range))
    }
}

impl AsRef<[u8]> for BufferSlice {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes()[self.1.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::*;

    #[test]
    fn it_takes_what_fits_and_reserves_it() {
        let budget = Budget::new(1 << 20);
        let mut buffer = MappedBuffer::new(100_000, budget.reservation()).unwrap();
        assert_eq!(budget.used(), 0);
        assert!(buffer.try_append(b"a"));
        assert_eq!(budget.used(), RESERVATION_STEP);
        assert!(buffer.try_append(&[b'b'; 99_999]));
        assert_eq!(budget.used(), 100_000);
        assert!(!buffer.try_append(b"c"));
        assert_eq!((buffer.bytes().len(), &buffer.bytes()[..3]), (100_000, &b"abb"[..]));
        let buffer = Arc::new(buffer);
        let slice = buffer.slice(0..2);
        drop(buffer);
        assert_eq!((&slice[..], budget.used()), (&b"ab"[..], 100_000), "a part keeps it");
        drop(slice);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_budget_that_is_used_up_leaves_it_as_it_was() {
        let budget = Budget::new(RESERVATION_STEP);
        let mut buffer = MappedBuffer::new(1 << 20, budget.reservation()).unwrap();
        assert!(buffer.try_append(&[1; RESERVATION_STEP]));
        assert!(!buffer.try_append(&[2]));
        assert_eq!((buffer.bytes().len(), budget.used()), (RESERVATION_STEP, RESERVATION_STEP));
    }
}
