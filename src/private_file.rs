//! Whether a file with a secret is for us only.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// Whether somebody else can read it, or change it. What belongs to root may be there for us by its group, as systemd's
/// credentials are: it is libpq's rule for private keys.
pub fn is_open_to_others(metadata: &Metadata) -> bool {
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    metadata.mode() & forbidden != 0
}
