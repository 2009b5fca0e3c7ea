//! Tells the collector that something has changed, and what is said of that.

use std::fmt;

use super::super::one_shot::Installation;
use crate::control::asking::Unanswered;
use crate::one_line::on_one_line;

/// What became of it. The change is made, whatever it is.
#[derive(Debug)]
pub(super) struct Told(Result<(), Unanswered>);

/// Has the collector reload, if there is one.
pub(super) async fn tell_daemon(installation: &Installation) -> Told {
    let telling = async { installation.asker().await?.reload().await.map(drop) };
    Told(telling.await)
}

impl Told {
    /// Why it does not know yet, if it does not.
    pub(super) fn unanswered(&self) -> Option<String> {
        self.0.is_err().then(|| self.to_string())
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(()) => f.write_str("the collector has reloaded"),
            Err(Unanswered::Nobody) => {
                f.write_str("no collector is connected to the repository: what is changed counts once one runs")
            }
            Err(other) => {
                write!(f, "{}; what is changed counts within a minute", on_one_line(&other.to_string()))
            }
        }
    }
}
