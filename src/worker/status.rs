//! The status of a worker. Its texts are those of the Python collector, which powa-web shows and compares.

use std::fmt;

use session::Side;

/// The status of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Running,
    NoConnection(Side),
    Stopping,
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::NoConnection(side) => write!(f, "no connection to {side}"),
            Self::Stopping => f.write_str("stopping"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_python_collector() {
        let words = [
            (Status::Running, "running"),
            (Status::NoConnection(Side::Remote), "no connection to remote server"),
            (Status::NoConnection(Side::Repository), "no connection to repository server"),
            (Status::Stopping, "stopping"),
            (Status::Stopped, "stopped"),
        ];
        for (status, word) in words {
            assert_eq!(status.to_string(), word);
        }
    }
}
