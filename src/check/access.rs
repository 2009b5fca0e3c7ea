//! What does it mean that a session could not be opened, and what can be done? Pure.

use super::finding::{Finding, Mark, Place, What};
use super::subject::{Subject, set};
use crate::postgres::{Error, QuotedIdent, Side, Stage};
use crate::server::{Server, ServerId};

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
                Some(section) => format!("remote, {section}, and the files that these name"),
                None => "remote, and the files that it names".into(),
            };
            finding.cured_by(Place::Configuration, keys)
        }
        Stage::Name => finding
            .cured_by(Place::Elsewhere, another("--host"))
            .cured_by(Place::Elsewhere, "make the name known to the name service of this machine"),
        Stage::Reach if error.sqlstate().is_some() => {
            finding.cured_by(Place::Elsewhere, "PostgreSQL is there and takes no more sessions, or not yet: see its log")
        }
        Stage::Reach => finding
            .cured_by(
                Place::Elsewhere,
                format!(
                    "start PostgreSQL there, let it listen (listen_addresses) on port {port}, and let no firewall be in \
                     the way"
                ),
            )
            .cured_by(Place::Elsewhere, another("--port")),
        Stage::Tls => {
            let finding = if error.is_without_tls() {
                finding.cured_by(Place::ServerSettings, "ssl = on    # with ssl_cert_file and ssl_key_file")
            } else {
                finding
            };
            let section = subject.section(server).unwrap_or_else(|| "remote".into());
            let keys = format!("{section}.sslmode, sslrootcert, sslcert: see docs/connections.md");
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
        Stage::Login if said.contains("pg_hba.conf") => {
            finding.cured_by(Place::HostBasedAccess, access_line(said, user, dbname))
        }
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

/// The line that lets in whom PostgreSQL has just not let in, in whichever language it said so.
fn access_line(said: &str, user: &str, dbname: &str) -> String {
    let host = said.split_once("host \"").and_then(|(_, rest)| rest.split_once('"')).map(|(host, _)| host);
    let address = match host.and_then(|host| host.parse::<std::net::IpAddr>().ok()) {
        Some(address) if address.is_ipv4() => format!("{address}/32"),
        Some(address) => format!("{address}/128"),
        // It has come by a Unix socket.
        None if said.contains("[local]") => {
            return format!("local  {}  {}  scram-sha-256", quoted(dbname), quoted(user));
        }
        None => {
            let (user, dbname) = (quoted(user), quoted(dbname));
            return format!("a line that lets the role {user} into the database {dbname} from this machine");
        }
    };
    let place = if said.contains("no pg_hba.conf entry") { "" } else { "    # above any line that rejects" };
    let is_encrypted = said.contains("SSL encryption") || said.contains("SSL on");
    let kind = if is_encrypted { "hostssl" } else { "host" };
    format!("{kind}  {}  {}  {address}  scram-sha-256{place}", quoted(dbname), quoted(user))
}

/// As `pg_hba.conf` has names.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What to do about a repository that is not to be had.
pub(super) fn cures_of_repository(error: &Error) -> Vec<super::Cure> {
    let cure = |place, text: &str| vec![super::Cure::new(place, text)];
    let said = error.said().unwrap_or_default();
    if error.side() != Side::Repository {
        return vec![];
    }
    match error.stage() {
        Stage::Parameters => cure(
            Place::Configuration,
            "the files that repository.dsn and repository.password_file name have to be readable by whoever runs the \
             collector, and by nobody else if a password is in them",
        ),
        Stage::Name | Stage::Reach => {
            cure(Place::Configuration, "repository.dsn has to name the host and the port that the repository is at")
        }
        Stage::Tls => cure(Place::Configuration, "sslmode and sslrootcert in repository.dsn: see docs/connections.md"),
        Stage::Login if said.contains("pg_hba.conf") => {
            cure(Place::HostBasedAccess, "a line that lets the role of repository.dsn in, from this machine")
        }
        Stage::Login => cure(Place::Configuration, "user and password in repository.dsn, or repository.password_file"),
        Stage::Database => cure(Place::Configuration, "dbname in repository.dsn has to be the database with PoWA"),
        Stage::Session => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_pg_hba_is_for_the_one_who_was_refused() {
        let line = |said| access_line(said, "po\"wa", "my db");
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
            let advice = "a line that lets the role \"po\"\"wa\" into the database \"my db\" from this machine";
            assert_eq!(line(said), advice, "{said}");
        }
    }
}
