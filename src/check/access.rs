//! What does it mean that a session could not be opened, and what can be done? Pure.

use super::finding::{Cure, Finding, Mark, Place, What};
use super::subject::{Subject, set};
use crate::postgres::{Error, QuotedIdent, Side, Stage};
use crate::server::{Server, ServerId};

const UNKNOWN_NAME: &str = "make the name known to the name service of this machine";
const BUSY: &str = "PostgreSQL is there and takes no more sessions, or not yet: see its log";
const WITH_TLS: &str = "ssl = on    # with ssl_cert_file and ssl_key_file";

fn reachable(port: &str) -> String {
    format!("start PostgreSQL there, let it listen (listen_addresses) {port}, and let no firewall be in the way")
}

impl Stage {
    fn what(self) -> What {
        match self {
            Self::Parameters => What::Parameters,
            Self::Name => What::Name,
            Self::Reach => What::Connection,
            Self::Tls => What::Tls,
            Self::Login => What::Login,
            Self::Database | Self::Session => What::Database,
        }
    }
}

/// What an error tells that was met while a session was opened. What comes before it was in order.
pub(super) fn refused(error: &Error, server: &Server, subject: Subject<'_>) -> Vec<Finding> {
    let failed = error.stage().what();
    let steps = [What::Parameters, What::Name, What::Connection, What::Tls, What::Login];
    let passed = steps.into_iter().filter(|what| *what < failed);
    let mut findings: Vec<_> = passed.map(|what| Finding::new(what, Mark::Well, "")).collect();
    findings.push(with_cures(Finding::new(failed, Mark::Wrong, error.in_full()), error, server, subject));
    findings
}

fn with_cures(finding: Finding, error: &Error, server: &Server, subject: Subject<'_>) -> Finding {
    let Server { user, dbname, port, .. } = server;
    let (role, database) = (QuotedIdent::new(user), QuotedIdent::new(dbname));
    let another = |option: &str| subject.another(server, option);
    let said = error.said().unwrap_or_default();
    match error.stage() {
        Stage::Parameters => {
            let keys = match subject.section(server) {
                Some(section) => format!("remote and {section}, or the files that these name"),
                None => "remote, or the files that it names".into(),
            };
            finding.cured_by(Place::Configuration, keys)
        }
        Stage::Name => finding.cured_by(Place::Elsewhere, another("--host")).cured_by(Place::Elsewhere, UNKNOWN_NAME),
        Stage::Reach if error.sqlstate().is_some() => finding.cured_by(Place::Elsewhere, BUSY),
        Stage::Reach => finding
            .cured_by(Place::Elsewhere, reachable(&format!("on port {port}")))
            .cured_by(Place::Elsewhere, another("--port")),
        Stage::Tls => {
            let finding =
                if error.is_without_tls() { finding.cured_by(Place::ServerSettings, WITH_TLS) } else { finding };
            let section = subject.section(server).unwrap_or_else(|| "remote".into());
            let keys = format!("{section}: sslmode, sslrootcert, sslcert, as docs/connections.md has them");
            finding.cured_by(Place::Configuration, keys)
        }
        Stage::Login if error.is_about_role() => {
            // Whether it is there is told in words only, which may be of any language.
            let finding = if said.ends_with("does not exist") {
                finding
            } else {
                finding.cured_by(Place::Remote, format!("alter role {role} login"))
            };
            finding
                .cured_by(
                    Place::Remote,
                    format!("create role {role} login in role pg_read_all_stats, pg_read_all_settings"),
                )
                .cured_by(Place::Elsewhere, another("--user"))
        }
        Stage::Login if said.contains("pg_hba.conf") => Finding { cures: vec![access(said, user, dbname)], ..finding },
        Stage::Login => finding
            .cured_by(Place::Elsewhere, subject.another_password(server))
            // An SQL statement would have it in the log.
            .cured_by(Place::Elsewhere, format!("in psql, on the remote server: \\password {role}")),
        Stage::Database if error.sqlstate() == Some("42501") => {
            finding.cured_by(Place::Remote, format!("grant connect on database {database} to {role}"))
        }
        Stage::Database if error.sqlstate() == Some("55000") => {
            finding.cured_by(Place::Remote, format!("alter database {database} allow_connections true"))
        }
        Stage::Database => finding
            .cured_by(Place::Elsewhere, another("--dbname"))
            .cured_by(Place::Remote, format!("create database {database}")),
        Stage::Session => finding,
    }
}

/// What changes a column of the server's row, if that can be said.
pub(super) fn set_column(server: ServerId, column: &str) -> Option<String> {
    let option = match column {
        "hostname" => "--host ...",
        "port" => "--port ...",
        "username" => "--user ...",
        "password" => "--ask-password",
        "dbname" => "--dbname ...",
        "frequency" => "--frequency ...",
        "alias" => "--alias ...",
        _ => return None,
    };
    Some(set(server, option))
}

/// The line that lets in whom PostgreSQL has just not let in, or which one it has to be, where it said so in another language.
pub(super) fn access(said: &str, user: &str, dbname: &str) -> Cure {
    let line = |text: String| Cure::new(Place::HostBasedAccess, text);
    let host = said.split_once("host \"").and_then(|(_, rest)| rest.split_once('"')).map(|(host, _)| host);
    let address = match host.and_then(|host| host.parse::<std::net::IpAddr>().ok()) {
        Some(address) if address.is_ipv4() => format!("{address}/32"),
        Some(address) => format!("{address}/128"),
        // It has come by a Unix socket.
        None if said.contains("[local]") => {
            return line(format!("local  {}  {}  scram-sha-256", quoted(dbname), quoted(user)));
        }
        None => {
            let (user, dbname) = (quoted(user), quoted(dbname));
            let which =
                format!("let the role {user} into the database {dbname} from this machine, in pg_hba.conf there");
            return Cure::new(Place::Elsewhere, which);
        }
    };
    let place = if said.contains("no pg_hba.conf entry") { "" } else { "    # above any line that rejects" };
    let is_encrypted = said.contains("SSL encryption") || said.contains("SSL on");
    let kind = if is_encrypted { "hostssl" } else { "host" };
    line(format!("{kind}  {}  {}  {address}  scram-sha-256{place}", quoted(dbname), quoted(user)))
}

/// As `pg_hba.conf` has names.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What an error tells that was met while the repository was looked for, and what to do about it. Its parameters are not
/// known here: names are those that PostgreSQL has said.
pub(super) fn refused_by_repository(error: &Error) -> Finding {
    let said = error.said().unwrap_or_default();
    let is_powa = error.sqlstate().is_none() && !error.is_connection();
    let what = match error.stage() {
        Stage::Session if is_powa => What::Powa,
        stage => stage.what(),
    };
    let finding = Finding::new(what, Mark::Wrong, error.in_full());
    if error.side() != Side::Repository {
        return finding;
    }
    let name = |what| named(said, what).map_or("...".into(), |name| QuotedIdent::new(name).to_string());
    let dsn = |text: &str| Cure::new(Place::Configuration, format!("repository.dsn: {text}"));
    let cures = match error.stage() {
        Stage::Parameters => {
            let files = "the files that repository.dsn and repository.password_file name have to be readable by whoever runs \
                         the collector, and by nobody else if a password is in them";
            vec![Cure::new(Place::Configuration, files)]
        }
        Stage::Name => vec![dsn("another host"), Cure::new(Place::Elsewhere, UNKNOWN_NAME)],
        Stage::Reach if error.sqlstate().is_some() => vec![Cure::new(Place::Elsewhere, BUSY)],
        Stage::Reach => vec![
            Cure::new(Place::Elsewhere, reachable("on that port")),
            dsn("the host and the port that the repository is at"),
        ],
        Stage::Tls => {
            let with_tls = error.is_without_tls().then(|| Cure::new(Place::ServerSettings, WITH_TLS));
            with_tls.into_iter().chain([dsn("sslmode, sslrootcert, as docs/connections.md has them")]).collect()
        }
        Stage::Login if error.is_about_role() => {
            let how = if said.ends_with("does not exist") { "create" } else { "alter" };
            vec![Cure::new(Place::Repository, format!("{how} role {} login", name("role"))), dsn("another user")]
        }
        Stage::Login if said.contains("pg_hba.conf") => {
            vec![access(said, named(said, "user").unwrap_or("..."), named(said, "database").unwrap_or("..."))]
        }
        Stage::Login => vec![
            dsn("another password, or another file as repository.password_file"),
            // An SQL statement would have it in the log.
            Cure::new(Place::Elsewhere, format!("in psql, in the repository: \\password {}", name("user"))),
        ],
        Stage::Database if error.sqlstate() == Some("42501") => {
            vec![Cure::new(Place::Repository, format!("grant connect on database {} to ...", name("database")))]
        }
        Stage::Database if error.sqlstate() == Some("55000") => {
            vec![Cure::new(Place::Repository, format!("alter database {} allow_connections true", name("database")))]
        }
        Stage::Database => vec![dsn("the dbname of the database with PoWA")],
        Stage::Session if error.is_missing_powa() => vec![
            Cure::new(Place::Repository, "create extension powa cascade"),
            dsn("the dbname of the database with PoWA"),
        ],
        Stage::Session => vec![],
    };
    Finding { cures, ..finding }
}

/// The name that PostgreSQL says, in English, of something.
fn named<'a>(said: &'a str, what: &str) -> Option<&'a str> {
    let (_, rest) = said.split_once(&format!("{what} \""))?;
    rest.split_once('"').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_pg_hba_is_for_the_one_who_was_refused() {
        let line = |said| access(said, "po\"wa", "my db").text;
        assert_eq!(
            line("no pg_hba.conf entry for host \"10.0.0.7\", user \"powa\", database \"db\", SSL encryption"),
            "hostssl  \"my db\"  \"po\"\"wa\"  10.0.0.7/32  scram-sha-256"
        );
        assert_eq!(
            line("pg_hba.conf rejects connection for host \"::1\", user \"powa\", database \"db\", no encryption"),
            "host  \"my db\"  \"po\"\"wa\"  ::1/128  scram-sha-256    # above any line that rejects"
        );
        for said in ["no pg_hba.conf entry for host \"[local]\", user", "kein pg_hba.conf-Eintrag für Host »[local]«"]
        {
            assert_eq!(line(said), "local  \"my db\"  \"po\"\"wa\"  scram-sha-256", "{said}");
        }
        for said in ["kein pg_hba.conf-Eintrag für Host »10.0.0.7«, Benutzer »powa«", "nothing"] {
            let cure = access(said, "po\"wa", "my db");
            let advice =
                "let the role \"po\"\"wa\" into the database \"my db\" from this machine, in pg_hba.conf there";
            assert_eq!((cure.place, cure.text.as_str()), (Place::Elsewhere, advice), "{said}");
        }
    }
}
