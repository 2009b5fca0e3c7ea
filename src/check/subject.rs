//! Is it looked at a server that is registered, or at one that is about to be? What cures it is said in other words. Pure.

use super::finding::{Cure, Place};
use crate::postgres::QuotedIdent;
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

    /// How an extension is not collected from, if that can be: PoWA's schema in the repository is `schema`.
    pub(super) fn without(self, server: &Server, schema: &QuotedIdent, extension: &str) -> Option<Cure> {
        match self {
            Self::Registered => {
                let literal = extension.replace('\'', "''");
                let leave = format!("select {schema}.powa_deactivate_extension({}, '{literal}')", server.id);
                Some(Cure::new(Place::Repository, leave))
            }
            Self::New(asked_for) => {
                let is_asked_for = asked_for.iter().any(|asked_for| asked_for == extension);
                is_asked_for.then(|| Cure::new(Place::Elsewhere, format!("no --extension {extension}")))
            }
        }
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
        let row = ServerRow {
            id: 3,
            host: Some("db1".into()),
            port: Some(5432),
            user: Some("powa".into()),
            password: None,
            dbname: Some("powa".into()),
            frequency: Some(300),
            alias: alias.map(Into::into),
        };
        Server::parse(row).unwrap()
    }

    #[test]
    fn a_server_that_is_not_there_yet_is_not_spoken_of_by_its_id() {
        let asked_for = ["pg_qualstats".to_owned()];
        let (server, schema) = (server(Some("main")), QuotedIdent::new("powa"));
        let cures = |subject: Subject<'_>| {
            let without = |extension| subject.without(&server, &schema, extension).map(|cure| cure.text);
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
            "select \"powa\".powa_deactivate_extension(3, 'pg_qualstats')",
            "select \"powa\".powa_deactivate_extension(3, 'pg_stat_statements')",
        ];
        assert_eq!(cures(Subject::Registered), expected);
        let expected = ["another --port", "another password", "remote.servers.main", "no --extension pg_qualstats", ""];
        assert_eq!(cures(Subject::New(&asked_for)), expected);
    }

    #[test]
    fn nothing_is_configured_for_one_without_a_name() {
        assert_eq!(Subject::New(&[]).section(&server(None)), None);
    }
}
