//! Whether a file with a secret is for us only, and what is in it.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether somebody else can read it, or change it. What belongs to root may be there for us by its group, as systemd's
/// credentials are: it is libpq's rule for private keys.
pub fn is_open_to_others(metadata: &Metadata) -> bool {
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    metadata.mode() & forbidden != 0
}

/// For whom a file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// For us only.
    Secret,
    Openly,
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is not a regular file")]
    NotRegular,
    #[error("it is longer than {0} bytes")]
    TooLong(u64),
    /// It is a secret, and others can read it.
    #[error("it can be read by others")]
    OpenToOthers,
}

/// The whole of a file, which is what was looked at, whatever is put in its place meanwhile. Blocks.
///
/// # Errors
/// It cannot be read, or is not as it should be.
pub fn read(path: &Path, longest: u64, kept: Kept) -> Result<Vec<u8>, Unreadable> {
    // To open a pipe would be to wait for somebody to write.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Unreadable::NotRegular);
    }
    let open = File::open(path)?;
    let metadata = open.metadata()?;
    if !metadata.is_file() {
        return Err(Unreadable::NotRegular);
    }
    if kept == Kept::Secret && is_open_to_others(&metadata) {
        return Err(Unreadable::OpenToOthers);
    }
    let mut bytes = Vec::new();
    let length = open.take(longest + 1).read_to_end(&mut bytes)?;
    if length as u64 > longest { Err(Unreadable::TooLong(longest)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_not_as_it_should_be_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "12345").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(&file, 5, Kept::Secret).unwrap(), b"12345");
        assert!(matches!(read(&file, 4, Kept::Secret), Err(Unreadable::TooLong(4))));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&file, 5, Kept::Secret), Err(Unreadable::OpenToOthers)));
        assert!(read(&file, 5, Kept::Openly).is_ok());
        assert!(matches!(read(folder.path(), 5, Kept::Openly), Err(Unreadable::NotRegular)));
        // It never ends.
        assert!(matches!(read(Path::new("/dev/zero"), 5, Kept::Openly), Err(Unreadable::NotRegular)));
    }
}
