//! Returns freed memory to the operating system.
//!
//! glibc keeps freed memory between blocks that are in use: after the first snapshots of a large fleet, that is a third of the
//! daemon's memory.

/// Returns unused pages to the operating system. Takes some milliseconds, during which allocations of other threads may block.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "malloc_trim has no safe wrapper")]
pub(crate) fn release_free_memory() {
    // SAFETY: malloc_trim takes a number, touches no memory in use, and is thread-safe.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries return freed memory by themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn release_free_memory() {}
