//! What does it mean that a session could not be opened, and what can be done? Pure.

use super::finding::{Finding, Mark, Place, What};
use crate::postgres::{Error, QuotedIdent, Side, Stage};
use crate::server::Server;

/// What is known of the one who wants to get in.
pub(super) struct Applicant<'a> {
    pub(super) server: &'a Server,
    /// The schema of PoWA in the repository.
    pub(super) schema: &'a QuotedIdent,
}

impl Stage {
    fn what(self) -> What {
        match self {
            Self::Name => What::Name,
            Self::Reach => What::Connection,
            Self::Tls => What::Tls,
            Self::Login => What::Login,
            Self::Database | Self::Session => What::Database,
        }
    }
}

/// What an error tells that was met while a session was opened. What comes before it was in order.
pub(super) fn refused(error: &Error, applicant: &Applicant<'_>) -> Vec<Finding> {
    let failed = error.stage().what();
    let passed = [What::Name, What::Connection, What::Tls, What::Login].into_iter().filter(|what| *what < failed);
    let mut findings: Vec<_> = passed.map(|what| Finding::new(what, Mark::Well, "")).collect();
    findings.push(with_cures(Finding::new(failed, Mark::Wrong, error.in_full()), error, applicant));
    findings
}

fn with_cures(finding: Finding, error: &Error, applicant: &Applicant<'_>) -> Finding {
    let Server { user, dbname, port, .. } = applicant.server;
    let (role, database) = (QuotedIdent::new(user), QuotedIdent::new(dbname));
    let configure = |column: &str, value: &str| configure(applicant, column, value);
    let said = error.said().unwrap_or_default();
    match error.stage() {
        Stage::Name => finding
            .cured_by(Place::Repository, configure("hostname", "..."))
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
            .cured_by(Place::Repository, configure("port", "...")),
        Stage::Tls => finding
            .cured_by(Place::ServerSettings, "ssl = on    # with ssl_cert_file and ssl_key_file")
            .cured_by(
                Place::Configuration,
                format!("remote.servers.{}.sslmode, sslrootcert, sslcert: see docs/connections.md", applicant.server.id),
            ),
        Stage::Login if error.is_missing_role() => finding
            .cured_by(
                Place::Remote,
                format!("create role {role} login in role pg_read_all_stats, pg_read_all_settings"),
            )
            .cured_by(Place::Repository, configure("username", "...")),
        Stage::Login if said.contains("pg_hba.conf") => {
            finding.cured_by(Place::HostBasedAccess, access_line(said, user, dbname))
        }
        Stage::Login => finding
            .cured_by(Place::Repository, configure("password", "..."))
            .cured_by(Place::Remote, format!("alter role {role} password '...'")),
        Stage::Database if error.sqlstate() == Some("42501") => {
            finding.cured_by(Place::Remote, format!("grant connect on database {database} to {role}"))
        }
        Stage::Database if error.sqlstate() == Some("55000") => {
            finding.cured_by(Place::Remote, format!("alter database {database} allow_connections true"))
        }
        Stage::Database => finding
            .cured_by(Place::Repository, configure("dbname", "..."))
            .cured_by(Place::Remote, format!("create database {database}")),
        Stage::Session => finding,
    }
}

/// What changes a column of the server's row.
fn configure(applicant: &Applicant<'_>, column: &str, value: &str) -> String {
    let Applicant { server, schema } = applicant;
    format!("select {schema}.powa_configure_server({}, '{{\"{column}\": \"{value}\"}}')", server.id)
}

/// The line that lets in whom PostgreSQL has just not let in.
fn access_line(said: &str, user: &str, dbname: &str) -> String {
    let host = said.split_once("host \"").and_then(|(_, rest)| rest.split_once('"')).map(|(host, _)| host);
    let address = match host.and_then(|host| host.parse::<std::net::IpAddr>().ok()) {
        Some(address) if address.is_ipv4() => format!("{address}/32"),
        Some(address) => format!("{address}/128"),
        // It has come by a Unix socket.
        None => return format!("local  {}  {}  scram-sha-256", quoted(dbname), quoted(user)),
    };
    let place = if said.contains("rejects") { "    # above the line that rejects" } else { "" };
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
            "host  \"my db\"  \"po\"\"wa\"  ::1/128  scram-sha-256    # above the line that rejects"
        );
        for said in ["no pg_hba.conf entry for host \"[local]\", user", "nothing"] {
            assert_eq!(line(said), "local  \"my db\"  \"po\"\"wa\"  scram-sha-256", "{said}");
        }
    }
}
