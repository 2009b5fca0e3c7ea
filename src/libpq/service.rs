//! The connection service file: a section a service, with parameters in it.

use super::{Conninfo, InvalidParameter, Surroundings};

/// What a service gives: from the user's file if it is in there, otherwise from the system's.
///
/// # Errors
/// No file has it, or the file cannot be read, or is malformed.
pub(super) fn look_up(service: &str, surroundings: &Surroundings) -> Result<Conninfo, InvalidParameter> {
    todo!()
}
