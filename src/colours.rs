//! Where may something be coloured? What subcommands print and what is logged go by one rule.

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};

/// Whether colours are for what is written there. They are for a terminal, unless `NO_COLOR` or the like is set.
pub fn are_for(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}
