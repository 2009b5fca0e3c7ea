//! Reads a file that holds a secret, if only the owner can read it.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether others can read or change the file. A file of root may be readable by its group, as systemd's credentials
/// are: this is libpq's rule for private keys.
pub fn is_open_to_others(metadata: &Metadata) -> bool {
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    metadata.mode() & forbidden != 0
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// Only this process's user.
    Private,
    Public,
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
    /// The file is private, but others can read it.
    #[error("it can be read by others")]
    OpenToOthers,
}

/// The whole content of a file. The permissions checked are those of the opened file. Blocks.
///
/// # Errors
/// The file cannot be read, is too long, or its permissions are wrong.
pub fn read(path: &Path, longest: u64, privacy: Privacy) -> Result<Vec<u8>, Unreadable> {
    // To open a pipe would block until somebody writes.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Unreadable::NotRegular);
    }
    let open = File::open(path)?;
    let metadata = open.metadata()?;
    if !metadata.is_file() {
        return Err(Unreadable::NotRegular);
    }
    if privacy == Privacy::Private && is_open_to_others(&metadata) {
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
    fn irregular_files_are_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, "12345").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(&file, 5, Privacy::Private).unwrap(), b"12345");
        assert!(matches!(read(&file, 4, Privacy::Private), Err(Unreadable::TooLong(4))));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&file, 5, Privacy::Private), Err(Unreadable::OpenToOthers)));
        assert!(read(&file, 5, Privacy::Public).is_ok());
        assert!(matches!(read(directory.path(), 5, Privacy::Public), Err(Unreadable::NotRegular)));
        // It never ends.
        assert!(matches!(read(Path::new("/dev/zero"), 5, Privacy::Public), Err(Unreadable::NotRegular)));
    }
}
