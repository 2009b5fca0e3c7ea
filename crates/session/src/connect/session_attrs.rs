//! Whether a server meets `target_session_attrs`, and, on the repository side, is writable. Pure.

use crate::Side;
use libpq::TargetSessionAttrs;

/// The state of a server that matters for `target_session_attrs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerState {
    pub(crate) is_standby: bool,
    /// The server's `default_transaction_read_only`.
    pub(crate) is_read_only: bool,
}

/// The requirements for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    attributes: TargetSessionAttrs,
    side: Side,
}

/// Why a server does not meet the requirements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// Its role, standby or primary, which may change at any time.
    Role(&'static str),
    /// A setting, which somebody must change.
    Setting(&'static str),
}

impl Requirement {
    /// The requirements to try, in order of preference.
    pub(crate) fn by_preference(attributes: TargetSessionAttrs, side: Side) -> Vec<Self> {
        let requirement = |attributes| Self { attributes, side };
        match (attributes, side) {
            (TargetSessionAttrs::PreferStandby, Side::Remote) => {
                vec![requirement(TargetSessionAttrs::Standby), requirement(TargetSessionAttrs::Any)]
            }
            // The repository must be writable, even if a standby is preferred.
            (TargetSessionAttrs::PreferStandby, Side::Repository) => vec![requirement(TargetSessionAttrs::Any)],
            (attributes, _) => vec![requirement(attributes)],
        }
    }

    /// Any server that is usable on this side.
    pub(crate) fn any(side: Side) -> Self {
        Self { attributes: TargetSessionAttrs::Any, side }
    }

    /// Whether the state of a server does not matter.
    pub(crate) fn accepts_any(self) -> bool {
        self.side == Side::Remote && self.attributes == TargetSessionAttrs::Any
    }

    /// Why a server does not meet the requirements; `None` if it does. `transaction_read_only` does not show whether it
    /// is a standby: a database or role may set it, and the session pins it.
    pub(crate) fn mismatch(self, ServerState { is_standby, is_read_only }: ServerState) -> Option<Mismatch> {
        if self.side == Side::Repository && is_standby {
            return Some(Mismatch::Role("it is a standby, but the repository must be writable"));
        }
        match self.attributes {
            TargetSessionAttrs::ReadWrite if is_standby => {
                Some(Mismatch::Role("it is a standby, but target_session_attrs is read-write"))
            }
            TargetSessionAttrs::ReadWrite if is_read_only => Some(Mismatch::Setting(
                "its transactions are read-only by default, but target_session_attrs is read-write",
            )),
            TargetSessionAttrs::ReadOnly if !is_standby && !is_read_only => Some(Mismatch::Setting(
                "its transactions are read-write by default, but target_session_attrs is read-only",
            )),
            TargetSessionAttrs::Primary if is_standby => {
                Some(Mismatch::Role("it is a standby, but target_session_attrs is primary"))
            }
            TargetSessionAttrs::Standby if !is_standby => Some(Mismatch::Role("it is not a standby")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: ServerState = ServerState { is_standby: false, is_read_only: false };
    const READ_ONLY: ServerState = ServerState { is_standby: false, is_read_only: true };
    const STANDBY: ServerState = ServerState { is_standby: true, is_read_only: false };

    #[test]
    fn a_server_is_usable_exactly_when_libpq_would_use_it() {
        // From the table of target_session_attrs in libpq's documentation.
        let cases = [
            (TargetSessionAttrs::Any, [true, true, true]),
            (TargetSessionAttrs::ReadWrite, [true, false, false]),
            (TargetSessionAttrs::ReadOnly, [false, true, true]),
            (TargetSessionAttrs::Primary, [true, true, false]),
            (TargetSessionAttrs::Standby, [false, false, true]),
            (TargetSessionAttrs::PreferStandby, [true, true, true]),
        ];
        for (attributes, expected) in cases {
            for (server_state, expected) in [PRIMARY, READ_ONLY, STANDBY].into_iter().zip(expected) {
                let fits = |side| {
                    let mut requirement = Requirement::by_preference(attributes, side).into_iter();
                    requirement.any(|requirement| requirement.mismatch(server_state).is_none())
                };
                assert_eq!(fits(Side::Remote), expected, "{attributes:?} {server_state:?}");
                assert_eq!(
                    fits(Side::Repository),
                    expected && !server_state.is_standby,
                    "{attributes:?} {server_state:?}"
                );
            }
        }
    }

    #[test]
    fn prefer_standby_looks_for_a_standby_first_and_then_for_any_server() {
        let [first, second] = Requirement::by_preference(TargetSessionAttrs::PreferStandby, Side::Remote)[..] else {
            panic!("there are two requirements")
        };
        assert!(first.mismatch(PRIMARY).is_some() && first.mismatch(STANDBY).is_none());
        assert!(second.accepts_any());
    }
}
