//! Whether the checked server is registered or is to be registered. The cures differ. Pure.

use super::finding::{Cure, CureKind};
use crate::server::{Server, ServerId};

/// The server to check.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CheckTarget<'a> {
    /// It is registered. The checked values can be new ones.
    Registered,
    /// It is to be registered, with these extensions.
    New(&'a [String]),
}

impl CheckTarget<'_> {
    /// How to change an option of the registration.
    pub(super) fn change_option(self, server: &Server, option: &str) -> String {
        match self {
            Self::Registered => set(server.id, &format!("{option} ...")),
            Self::New(_) => format!("use another {option}"),
        }
    }

    /// How to change the password. Not in SQL, which could be logged.
    pub(super) fn change_password(self, server: &Server) -> String {
        match self {
            Self::Registered => set(server.id, "--ask-password"),
            Self::New(_) => "use another password".into(),
        }
    }

    /// The section of the configuration for this server alone. A new server has no id yet.
    pub(super) fn section(self, server: &Server) -> Option<String> {
        match (self, &server.alias) {
            (Self::Registered, _) => Some(format!("remote.servers.{}", server.id)),
            (Self::New(_), Some(alias)) => Some(format!("remote.servers.{alias}")),
            (Self::New(_), None) => None,
        }
    }

    /// The cure if the role in the repository lacks privileges: to check a new server, it needs more than the collector does.
    pub(super) fn use_admin_role(self) -> Option<Cure> {
        match self {
            Self::Registered => None,
            Self::New(_) => {
                let role =
                    "run the command as a role that may register servers: set POWA_COLLECTOR__REPOSITORY__DSN='...'";
                Some(Cure::new(CureKind::Advice, role))
            }
        }
    }

    /// The cure if the repository's PoWA does not know an extension. `None` if it was not requested.
    pub(super) fn remove_unknown(self, unknown: &str) -> Option<Cure> {
        let Self::New(requested) = self else { return None };
        requested.iter().find(|requested| *requested == unknown)?;
        Some(Cure::new(CureKind::Advice, format!("remove --extension {unknown}, or use a name that PoWA knows")))
    }

    /// How not to collect an extension. `None` if it cannot be deselected.
    pub(super) fn remove_extension(self, server: &Server, extension: &str) -> Option<Cure> {
        let how = match self {
            Self::Registered => format!("powa-collector servers extensions {} --deactivate {extension}", server.id),
            Self::New(requested) => {
                requested.iter().find(|requested| *requested == extension)?;
                format!("remove --extension {extension}")
            }
        };
        Some(Cure::new(CureKind::Advice, how))
    }
}

/// The command that changes an option of a registered server.
pub(super) fn set(server: ServerId, option: &str) -> String {
    format!("powa-collector servers set {server} {option}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::ServerRow;

    fn server(alias: Option<&str>) -> Server {
        Server::parse(ServerRow { alias: alias.map(Into::into), ..ServerRow::example(3) }).unwrap()
    }

    #[test]
    fn cures_for_a_new_server_do_not_use_its_id() {
        let requested = ["pg_qualstats".to_owned()];
        let server = server(Some("main"));
        let cures = |target: CheckTarget<'_>| {
            let without = |extension| target.remove_extension(&server, extension).map(|cure| cure.text);
            [
                Some(target.change_option(&server, "--port")),
                Some(target.change_password(&server)),
                target.section(&server),
                without("pg_qualstats"),
                without("pg_stat_statements"),
            ]
            .map(Option::unwrap_or_default)
        };
        let expected = [
            "powa-collector servers set 3 --port ...",
            "powa-collector servers set 3 --ask-password",
            "remote.servers.3",
            "powa-collector servers extensions 3 --deactivate pg_qualstats",
            "powa-collector servers extensions 3 --deactivate pg_stat_statements",
        ];
        assert_eq!(cures(CheckTarget::Registered), expected);
        let expected = [
            "use another --port",
            "use another password",
            "remote.servers.main",
            "remove --extension pg_qualstats",
            "",
        ];
        assert_eq!(cures(CheckTarget::New(&requested)), expected);
    }

    #[test]
    fn an_extension_that_powa_does_not_know_can_be_removed() {
        let requested = ["pg_qualstats".to_owned(), "nono".to_owned()];
        let cure = CheckTarget::New(&requested).remove_unknown("nono").map(|cure| cure.text);
        assert_eq!(cure.as_deref(), Some("remove --extension nono, or use a name that PoWA knows"));
        assert_eq!(CheckTarget::New(&requested).remove_unknown("no"), None);
    }

    #[test]
    fn a_new_server_without_alias_has_no_section() {
        assert_eq!(CheckTarget::New(&[]).section(&server(None)), None);
    }
}
