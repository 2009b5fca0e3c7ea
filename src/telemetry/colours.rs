//! Decides whether output is coloured, for subcommands and the log alike.

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};

/// Whether output to a stream is coloured: if it is a terminal, unless `NO_COLOR` or a similar variable is set.
pub(crate) fn enabled_for(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}
