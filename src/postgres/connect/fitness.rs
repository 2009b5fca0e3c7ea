//! Whether a server that lets us in is the one that is looked for: `target_session_attrs`, and a repository that has to be
//! writable. Pure.

use crate::libpq::TargetSessionAttrs;
use crate::postgres::Side;

/// What a server says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) is_standby: bool,
    /// By default, for whoever has not been told otherwise.
    pub(super) is_read_only: bool,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    attributes: TargetSessionAttrs,
    side: Side,
}

/// Why a server is not what is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It has a role that it may lose at any time: it is a standby, or a primary.
    Role(&'static str),
    /// Somebody has set it so.
    Setting(&'static str),
}

impl Wanted {
    /// What to look for, one after the other, until it is found.
    pub(super) fn in_turn(attributes: TargetSessionAttrs, side: Side) -> Vec<Self> {
        let wanted = |attributes| Self { attributes, side };
        match (attributes, side) {
            (TargetSessionAttrs::PreferStandby, Side::Remote) => {
                vec![wanted(TargetSessionAttrs::Standby), wanted(TargetSessionAttrs::Any)]
            }
            // A standby is of no use, however much it is preferred.
            (TargetSessionAttrs::PreferStandby, Side::Repository) => vec![wanted(TargetSessionAttrs::Any)],
            (attributes, _) => vec![wanted(attributes)],
        }
    }

    /// Any server, as far as its side allows.
    pub(super) fn whatever(side: Side) -> Self {
        Self { attributes: TargetSessionAttrs::Any, side }
    }

    /// Nothing need be known of a server that is only read from.
    pub(super) fn takes_any(self) -> bool {
        self.side == Side::Remote && self.attributes == TargetSessionAttrs::Any
    }

    /// Why a server is not fit, if it is not. Whether it is a standby cannot be told by `transaction_read_only`, which
    /// any database or role may have set, and which is pinned.
    pub(super) fn objection(self, Standing { is_standby, is_read_only }: Standing) -> Option<Unfit> {
        if self.side == Side::Repository && is_standby {
            return Some(Unfit::Role("it is a standby, and the repository has to be writable"));
        }
        match self.attributes {
            TargetSessionAttrs::ReadWrite if is_standby => {
                Some(Unfit::Role("it is a standby, and target_session_attrs is read-write"))
            }
            TargetSessionAttrs::ReadWrite if is_read_only => Some(Unfit::Setting(
                "its transactions are read-only by default, and target_session_attrs is read-write",
            )),
            TargetSessionAttrs::ReadOnly if !is_standby && !is_read_only => Some(Unfit::Setting(
                "its transactions are read-write by default, and target_session_attrs is read-only",
            )),
            TargetSessionAttrs::Primary if is_standby => {
                Some(Unfit::Role("it is a standby, and target_session_attrs is primary"))
            }
            TargetSessionAttrs::Standby if !is_standby => Some(Unfit::Role("it is not a standby")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: Standing = Standing { is_standby: false, is_read_only: false };
    const READ_ONLY: Standing = Standing { is_standby: false, is_read_only: true };
    const STANDBY: Standing = Standing { is_standby: true, is_read_only: false };

    #[test]
    fn a_server_is_fit_for_what_libpq_would_take_it_for() {
        // As the table of target_session_attrs in libpq's documentation has it.
        let cases = [
            (TargetSessionAttrs::Any, [true, true, true]),
            (TargetSessionAttrs::ReadWrite, [true, false, false]),
            (TargetSessionAttrs::ReadOnly, [false, true, true]),
            (TargetSessionAttrs::Primary, [true, true, false]),
            (TargetSessionAttrs::Standby, [false, false, true]),
            (TargetSessionAttrs::PreferStandby, [true, true, true]),
        ];
        for (attributes, expected) in cases {
            for (standing, expected) in [PRIMARY, READ_ONLY, STANDBY].into_iter().zip(expected) {
                let fits = |side| {
                    let mut wanted = Wanted::in_turn(attributes, side).into_iter();
                    wanted.any(|wanted| wanted.objection(standing).is_none())
                };
                assert_eq!(fits(Side::Remote), expected, "{attributes:?} {standing:?}");
                assert_eq!(fits(Side::Repository), expected && !standing.is_standby, "{attributes:?} {standing:?}");
            }
        }
    }

    #[test]
    fn a_standby_is_preferred_before_anything_else_will_do() {
        let [first, second] = Wanted::in_turn(TargetSessionAttrs::PreferStandby, Side::Remote)[..] else {
            panic!("there are two things to look for")
        };
        assert!(first.objection(PRIMARY).is_some() && first.objection(STANDBY).is_none());
        assert!(second.takes_any());
    }
}
