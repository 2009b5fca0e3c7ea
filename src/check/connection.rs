//! Findings about a session that could not be opened. Pure.

use session::{Error, ErrorKind, QuotedIdent, Side, Stage};
use std::io;

use super::finding::{CheckItem, Cure, CureKind, Finding, Verdict};
use super::target::{CheckTarget, set};
use crate::server::{Server, ServerId};

const ADD_NAME: &str = "add the name to DNS or /etc/hosts of this machine";
const FIX_ADDRESS: &str = "the host and the port of the repository";
const CHECK_SERVER_LOG: &str = "PostgreSQL is running and refuses new connections: see its log";
const ENABLE_TLS: &str = "ssl = on    # with ssl_cert_file and ssl_key_file";

/// How to make a server reachable that cannot be reached at `port`.
fn make_reachable(error: &Error, port: &str) -> Cure {
    let cure = |text: String| Cure::new(CureKind::Advice, text);
    let Some((socket, kind)) = error.unreachable_socket() else {
        return cure(format!(
            "start PostgreSQL on that machine {port}, check listen_addresses, and allow the connection in firewalls"
        ));
    };
    let (path, directory) = (socket.display(), socket.parent().unwrap_or(socket).display());
    match kind {
        io::ErrorKind::PermissionDenied => cure(format!(
            "give the collector's user access to \"{directory}\" and write permission on the socket \
             (unix_socket_permissions, unix_socket_group)"
        )),
        io::ErrorKind::ConnectionRefused => {
            cure(format!("start PostgreSQL on this machine: the socket \"{path}\" exists, but no server listens on it"))
        }
        _ => {
            let private = if PRIVATE_DIRECTORIES.iter().any(|private| socket.starts_with(private)) {
                "; the service cannot see this machine's /tmp, /var/tmp and /home"
            } else {
                ""
            };
            cure(format!(
                "start PostgreSQL on this machine {port} with \"{directory}\" in unix_socket_directories: there is no socket \
                 \"{path}\"{private}"
            ))
        }
    }
}

/// Hidden from the service by `PrivateTmp` and `ProtectHome` of its unit.
const PRIVATE_DIRECTORIES: [&str; 4] = ["/tmp", "/var/tmp", "/home", "/root"];

/// The check that fails if opening a session fails at this stage.
fn item_of(stage: Stage) -> CheckItem {
    match stage {
        Stage::Parameters => CheckItem::Parameters,
        Stage::Name => CheckItem::Name,
        Stage::Reach => CheckItem::Connection,
        Stage::Tls => CheckItem::Tls,
        Stage::Login => CheckItem::Login,
        Stage::Database | Stage::Session => CheckItem::Database,
    }
}

/// The findings about an error of opening a session: all is well with the steps before it.
pub(super) fn connection_findings(error: &Error, server: &Server, target: CheckTarget<'_>) -> Vec<Finding> {
    let failed = item_of(error.stage());
    let items = [CheckItem::Parameters, CheckItem::Name, CheckItem::Connection, CheckItem::Tls, CheckItem::Login];
    let passed = items.into_iter().filter(|item| *item < failed);
    let mut findings: Vec<_> = passed.map(|item| Finding::new(item, Verdict::Well, "")).collect();
    findings.push(with_cures(Finding::new(failed, Verdict::Wrong, error.to_string()), error, server, target));
    findings
}

fn with_cures(finding: Finding, error: &Error, server: &Server, target: CheckTarget<'_>) -> Finding {
    let Server { user, dbname, port, .. } = server;
    let (role, database) = (QuotedIdent::new(user), QuotedIdent::new(dbname));
    let change = |option: &str| target.change_option(server, option);
    let message = error.server_message().unwrap_or_default();
    match error.stage() {
        Stage::Parameters => {
            let keys = match target.section(server) {
                Some(section) => format!("remote and {section}, or the files that they name"),
                None => "remote, or the files that it names".into(),
            };
            finding.cured_by(CureKind::Configuration, keys)
        }
        // The error names the right host.
        Stage::Reach if error.sqlstate().is_some() => finding.cured_by(CureKind::Advice, CHECK_SERVER_LOG),
        Stage::Name | Stage::Reach if error.is_about_host_name() => {
            finding.cured_by(CureKind::Advice, change("--host"))
        }
        Stage::Name => finding.cured_by(CureKind::Advice, change("--host")).cured_by(CureKind::Advice, ADD_NAME),
        Stage::Reach => {
            let mut finding = finding;
            finding.cures.push(make_reachable(error, &format!("on port {port}")));
            let host = error.unreachable_socket().map(|_| change("--host"));
            host.into_iter()
                .chain([change("--port")])
                .fold(finding, |finding, option| finding.cured_by(CureKind::Advice, option))
        }
        Stage::Tls => {
            let finding =
                if error.is_without_tls() { finding.cured_by(CureKind::PostgresqlConf, ENABLE_TLS) } else { finding };
            let section = target.section(server).unwrap_or_else(|| "remote".into());
            let keys = format!("{section}: see sslmode, sslrootcert and sslcert in docs/connections.md");
            finding.cured_by(CureKind::Configuration, keys)
        }
        Stage::Login if error.is_about_role() => {
            // Only the message tells whether the role exists, and it can be in any language.
            let finding = if message.ends_with("does not exist") {
                finding
            } else {
                finding.cured_by(CureKind::RemoteSql, format!("alter role {role} login"))
            };
            finding
                .cured_by(
                    CureKind::RemoteSql,
                    format!("create role {role} login in role pg_read_all_stats, pg_read_all_settings"),
                )
                .cured_by(CureKind::Advice, change("--user"))
        }
        Stage::Login if message.contains("pg_hba.conf") => {
            Finding { cures: vec![pg_hba_line(message, user, dbname)], ..finding }
        }
        Stage::Login => finding
            .cured_by(CureKind::Advice, target.change_password(server))
            // SQL could be logged.
            .cured_by(CureKind::Advice, format!("in psql, on the remote server: \\password {role}")),
        Stage::Database if error.kind() == ErrorKind::Denied => {
            finding.cured_by(CureKind::RemoteSql, format!("grant connect on database {database} to {role}"))
        }
        Stage::Database if error.kind() == ErrorKind::NotInState => {
            finding.cured_by(CureKind::RemoteSql, format!("alter database {database} allow_connections true"))
        }
        Stage::Database => finding
            .cured_by(CureKind::Advice, change("--dbname"))
            .cured_by(CureKind::RemoteSql, format!("create database {database}")),
        Stage::Session => finding,
    }
}

/// The command that changes a column of `powa_servers`, if there is one.
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

/// The line for `pg_hba.conf` that allows the connection that PostgreSQL refused with `message`; in words if the message is not in
/// English.
pub(super) fn pg_hba_line(message: &str, user: &str, dbname: &str) -> Cure {
    let line = |text: String| Cure::new(CureKind::PgHbaConf, text);
    let host = message.split_once("host \"").and_then(|(_, rest)| rest.split_once('"')).map(|(host, _)| host);
    let address = match host.and_then(|host| host.parse::<std::net::IpAddr>().ok()) {
        Some(address) if address.is_ipv4() => format!("{address}/32"),
        Some(address) => format!("{address}/128"),
        // A connection over a Unix socket.
        None if message.contains("[local]") => {
            return line(format!("local  {}  {}  scram-sha-256", quoted(dbname), quoted(user)));
        }
        None => {
            let (user, dbname) = (quoted(user), quoted(dbname));
            let advice = format!(
                "in pg_hba.conf of that server, allow the role {user} to connect to the database {dbname} from this machine"
            );
            return Cure::new(CureKind::Advice, advice);
        }
    };
    let comment = if message.contains("no pg_hba.conf entry") { "" } else { "    # above any line that rejects it" };
    let is_encrypted = message.contains("SSL encryption") || message.contains("SSL on");
    let kind = if is_encrypted { "hostssl" } else { "host" };
    line(format!("{kind}  {}  {}  {address}  scram-sha-256{comment}", quoted(dbname), quoted(user)))
}

/// Quotes a name for `pg_hba.conf`.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The finding about an error of connecting to the repository. Role and database are taken from PostgreSQL's message.
pub(super) fn repository_finding(error: &Error) -> Finding {
    let message = error.server_message().unwrap_or_default();
    let is_powa = error.sqlstate().is_none() && !error.is_connection();
    let item = match error.stage() {
        Stage::Session if is_powa => CheckItem::Powa,
        stage => item_of(stage),
    };
    let finding = Finding::new(item, Verdict::Wrong, error.to_string());
    if error.side() != Side::Repository {
        return finding;
    }
    let name = |what| named(message, what).map_or("...".into(), |name| QuotedIdent::new(name).to_string());
    let dsn = |text: &str| Cure::new(CureKind::Configuration, format!("repository.dsn: {text}"));
    let cures = match error.stage() {
        Stage::Parameters => {
            let files = "the files in repository.dsn and repository.password_file: the collector's user must be able to read \
                         them, and no other user if they contain a password";
            vec![Cure::new(CureKind::Configuration, files)]
        }
        Stage::Reach if error.sqlstate().is_some() => vec![Cure::new(CureKind::Advice, CHECK_SERVER_LOG)],
        // The error names the right host.
        Stage::Name | Stage::Reach if error.is_about_host_name() => vec![dsn(FIX_ADDRESS)],
        Stage::Name => vec![dsn("use another host"), Cure::new(CureKind::Advice, ADD_NAME)],
        Stage::Reach => vec![make_reachable(error, "on that port"), dsn(FIX_ADDRESS)],
        Stage::Tls => {
            let enable_tls = error.is_without_tls().then(|| Cure::new(CureKind::PostgresqlConf, ENABLE_TLS));
            enable_tls.into_iter().chain([dsn("see sslmode and sslrootcert in docs/connections.md")]).collect()
        }
        Stage::Login if error.is_about_role() => {
            let how = if message.ends_with("does not exist") { "create" } else { "alter" };
            vec![
                Cure::new(CureKind::RepositorySql, format!("{how} role {} login", name("role"))),
                dsn("use another user"),
            ]
        }
        Stage::Login if message.contains("pg_hba.conf") => {
            vec![pg_hba_line(
                message,
                named(message, "user").unwrap_or("..."),
                named(message, "database").unwrap_or("..."),
            )]
        }
        Stage::Login => vec![
            dsn("use another password, or another repository.password_file"),
            // SQL could be logged.
            Cure::new(CureKind::Advice, format!("in psql, in the repository: \\password {}", name("user"))),
        ],
        Stage::Database if error.kind() == ErrorKind::Denied => {
            vec![Cure::new(CureKind::RepositorySql, format!("grant connect on database {} to ...", name("database")))]
        }
        Stage::Database if error.kind() == ErrorKind::NotInState => {
            vec![Cure::new(
                CureKind::RepositorySql,
                format!("alter database {} allow_connections true", name("database")),
            )]
        }
        Stage::Database => vec![dsn("the dbname of the database with PoWA")],
        Stage::Session if error.kind() == ErrorKind::MissingPowa => vec![
            Cure::new(CureKind::RepositorySql, "create extension powa cascade"),
            dsn("the dbname of the database with PoWA"),
        ],
        Stage::Session => vec![],
    };
    Finding { cures, ..finding }
}

/// The name that follows `what` in a message of PostgreSQL in English.
fn named<'a>(message: &'a str, what: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(&format!("{what} \""))?;
    rest.split_once('"').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_pg_hba_allows_what_was_refused() {
        let line = |message| pg_hba_line(message, "po\"wa", "my db").text;
        assert_eq!(
            line("no pg_hba.conf entry for host \"10.0.0.7\", user \"powa\", database \"db\", SSL encryption"),
            "hostssl  \"my db\"  \"po\"\"wa\"  10.0.0.7/32  scram-sha-256"
        );
        assert_eq!(
            line("pg_hba.conf rejects connection for host \"::1\", user \"powa\", database \"db\", no encryption"),
            "host  \"my db\"  \"po\"\"wa\"  ::1/128  scram-sha-256    # above any line that rejects it"
        );
        for message in
            ["no pg_hba.conf entry for host \"[local]\", user", "kein pg_hba.conf-Eintrag für Host »[local]«"]
        {
            assert_eq!(line(message), "local  \"my db\"  \"po\"\"wa\"  scram-sha-256", "{message}");
        }
        for message in ["kein pg_hba.conf-Eintrag für Host »10.0.0.7«, Benutzer »powa«", "nothing"] {
            let cure = pg_hba_line(message, "po\"wa", "my db");
            let advice = "in pg_hba.conf of that server, allow the role \"po\"\"wa\" to connect to the database \"my db\" from this machine";
            assert_eq!((cure.kind, cure.text.as_str()), (CureKind::Advice, advice), "{message}");
        }
    }
}
