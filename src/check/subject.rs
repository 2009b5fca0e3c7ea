//! Is it looked at a server that is registered, or at one that is about to be? What cures it is said in other words. Pure.

use super::finding::{Cure, Place};
use crate::server::{Server, ServerId};

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A server that is registered, perhaps in another way than now.
    Registered,
    /// One that is to be registered, with these extensions.
    New(&'a [String]),
}

impl Subject<'_> {
    /// What gives another value to an option by which the server was registered.
    pub(super) fn another(self, server: &Server, option: &str) -> String {
        match self {
            Self::Registered => set(server.id, &format!("{option} ...")),
            Self::New(_) => format!("another {option}"),
        }
    }

    /// What gives another password to it. It has to be asked for: in SQL, it might be logged.
    pub(super) fn another_password(self, server: &Server) -> String {
        match self {
            Self::Registered => set(server.id, "--ask-password"),
            Self::New(_) => "another password".into(),
        }
    }

    /// Where the configuration has what is for this server only, if it can have.
    pub(super) fn section(self, server: &Server) -> Option<String> {
        match (self, &server.alias) {
            (Self::Registered, _) => Some(format!("remote.servers.{}", server.id)),
            (Self::New(_), Some(alias)) => Some(format!("remote.servers.{alias}")),
            (Self::New(_), None) => None,
        }
    }

    /// What to do where the repository does not let its role ask what would be collected, if that takes more than the
    /// collector's role needs: who is to register a server has another one, perhaps.
    pub(super) fn another_role(self) -> Option<Cure> {
        match self {
            Self::Registered => None,
            Self::New(_) => {
                let role =
                    "run the command as a role that may register servers, by POWA_COLLECTOR__REPOSITORY__DSN='...'";
                Some(Cure::new(Place::Elsewhere, role))
            }
        }
    }

    /// What to do where the repository's PoWA has said that it does not know an extension.
    pub(super) fn without_unknown(self, said: &str) -> Option<Cure> {
        let Self::New(asked_for) = self else { return None };
        let unknown = asked_for.iter().find(|name| said.contains(&format!("PoWA knows no \"{name}\"")))?;
        Some(Cure::new(Place::Elsewhere, format!("no --extension {unknown}, or the name of one that PoWA knows")))
    }

    /// How an extension is not collected from, if that can be. The command tells the collector, too.
    pub(super) fn without(self, server: &Server, extension: &str) -> Option<Cure> {
        let how = match self {
            Self::Registered => format!("powa-collector servers extensions {} --deactivate {extension}", server.id),
            Self::New(asked_for) => {
                asked_for.iter().find(|asked_for| *asked_for == extension)?;
                format!("no --extension {extension}")
            }
        };
        Some(Cure::new(Place::Elsewhere, how))
    }
}

/// What changes the server's row.
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
    fn a_server_that_is_not_there_yet_is_not_spoken_of_by_its_id() {
        let asked_for = ["pg_qualstats".to_owned()];
        let server = server(Some("main"));
        let cures = |subject: Subject<'_>| {
            let without = |extension| subject.without(&server, extension).map(|cure| cure.text);
            [
                Some(subject.another(&server, "--port")),
                Some(subject.another_password(&server)),
                subject.section(&server),
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
        assert_eq!(cures(Subject::Registered), expected);
        let expected = ["another --port", "another password", "remote.servers.main", "no --extension pg_qualstats", ""];
        assert_eq!(cures(Subject::New(&asked_for)), expected);
    }

    #[test]
    fn an_extension_that_powa_does_not_know_can_be_left_out() {
        let asked_for = ["pg_qualstats".to_owned(), "nono".to_owned()];
        let said = "could not find it out: PoWA knows no \"nono\" that could be collected; it knows pg_qualstats";
        let cure = Subject::New(&asked_for).without_unknown(said).map(|cure| cure.text);
        assert_eq!(cure.as_deref(), Some("no --extension nono, or the name of one that PoWA knows"));
        assert_eq!(Subject::New(&asked_for).without_unknown("no"), None);
    }

    #[test]
    fn nothing_is_configured_for_one_without_a_name() {
        assert_eq!(Subject::New(&[]).section(&server(None)), None);
    }
}
