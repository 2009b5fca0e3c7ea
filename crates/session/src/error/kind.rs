//! The kinds of errors, and one table of how each is handled.

use std::io;
use std::path::Path;

use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::types::{WasNull, WrongType};

use super::{Cause, Error, TlsError};

/// How far opening a session got, in the order in which it takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The connection parameters could not be read, or cannot be used.
    Parameters,
    /// The name of the host was not resolved.
    Name,
    /// No server accepted the connection, or the server accepts none now.
    Reach,
    /// The TLS handshake failed.
    Tls,
    /// The server refused the login, or requested a credential that the client lacks.
    Login,
    /// The database does not exist, or the role may not connect to it.
    Database,
    /// The session was open, and a statement failed.
    Session,
}

/// The kinds of failures that are treated differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The connection parameters cannot be used.
    BadParameters,
    /// The files with the connection parameters were not read in time.
    ParametersTimeout,
    /// The name of the host does not exist.
    UnknownHost,
    /// The name service did not answer.
    NameLookup,
    /// The server did not answer, or the connection broke.
    Unreachable,
    /// The server refused TLS, or the certificates do not match.
    TlsRefused,
    /// The connection broke during the TLS handshake.
    TlsLost,
    /// The server and the client do not understand each other: SQLSTATE 08P01.
    Protocol,
    /// The server refused the login (class 28), or requested a credential that is not configured.
    Login,
    /// A limit to the number of connections: SQLSTATE 53300.
    TooManyConnections,
    /// The server is out of memory, disk or another resource: class 53.
    OutOfResources,
    /// The server starts, stops or has ended the session: 57P.
    ShuttingDown,
    /// The database does not exist: SQLSTATE 3D000.
    MissingDatabase,
    /// The database accepts no connections, or an object is not in the state needed: SQLSTATE 55000.
    NotInState,
    /// The role lacks a privilege: SQLSTATE 42501.
    Denied,
    /// A relation does not exist: SQLSTATE 42P01.
    MissingTable,
    /// A column does not exist: SQLSTATE 42703.
    MissingColumn,
    /// A deadlock, a lock, a cancelled statement: classes 40, 55 and 57.
    Interrupted,
    /// Another error of a statement.
    Statement,
    /// The driver failed without an answer from the server.
    Driver,
    /// The server's answer does not have the expected form.
    UnexpectedAnswer,
    /// A local file failed.
    LocalFile,
    /// The database has no PoWA.
    MissingPowa,
    /// The server has no row in `powa_servers`.
    NotRegistered,
    /// PoWA has no extension or module of that name.
    UnknownName,
}

/// How a kind of error is handled.
struct Policy {
    stage: Stage,
    /// The same attempt may succeed later without intervention.
    is_transient: bool,
    /// There is no usable connection, as opposed to a failed statement.
    is_connection: bool,
    /// The statement was valid, and the server could not execute it at that moment.
    is_momentary: bool,
}

impl ErrorKind {
    const fn policy(self) -> Policy {
        const fn row(stage: Stage, is_transient: bool, is_connection: bool, is_momentary: bool) -> Policy {
            Policy { stage, is_transient, is_connection, is_momentary }
        }
        const YES: bool = true;
        const NO: bool = false;
        match self {
            //                                            transient  connection  momentary
            Self::BadParameters => row(Stage::Parameters, NO, YES, NO),
            Self::ParametersTimeout => row(Stage::Parameters, YES, YES, NO),
            Self::UnknownHost => row(Stage::Name, NO, YES, NO),
            Self::NameLookup => row(Stage::Name, YES, YES, NO),
            Self::Unreachable => row(Stage::Reach, YES, YES, NO),
            Self::TlsRefused => row(Stage::Tls, NO, YES, NO),
            Self::TlsLost => row(Stage::Tls, YES, YES, NO),
            Self::Protocol => row(Stage::Reach, NO, YES, NO),
            Self::Login => row(Stage::Login, NO, YES, NO),
            Self::TooManyConnections => row(Stage::Reach, YES, YES, YES),
            Self::OutOfResources => row(Stage::Reach, YES, NO, YES),
            Self::ShuttingDown => row(Stage::Reach, YES, YES, YES),
            Self::MissingDatabase => row(Stage::Database, NO, YES, NO),
            Self::NotInState => row(Stage::Database, NO, NO, YES),
            Self::Denied => row(Stage::Database, NO, NO, NO),
            Self::Interrupted => row(Stage::Session, NO, NO, YES),
            Self::Driver => row(Stage::Session, NO, YES, NO),
            Self::MissingTable
            | Self::MissingColumn
            | Self::Statement
            | Self::UnexpectedAnswer
            | Self::LocalFile
            | Self::MissingPowa
            | Self::NotRegistered
            | Self::UnknownName => row(Stage::Session, NO, NO, NO),
        }
    }

    /// The kind of an SQLSTATE; the classes are those of PostgreSQL's appendix "PostgreSQL Error Codes".
    fn of_sqlstate(code: &str) -> Self {
        match code {
            "08P01" => return Self::Protocol,
            "53300" => return Self::TooManyConnections,
            "3D000" => return Self::MissingDatabase,
            "55000" => return Self::NotInState,
            "42501" => return Self::Denied,
            "42P01" => return Self::MissingTable,
            "42703" => return Self::MissingColumn,
            _ => {}
        }
        match code.get(..2) {
            Some("08") => Self::Unreachable,
            Some("28") => Self::Login,
            Some("53") => Self::OutOfResources,
            Some("57") if code.starts_with("57P0") => Self::ShuttingDown,
            Some("40" | "55" | "57") => Self::Interrupted,
            _ => Self::Statement,
        }
    }
}

impl Error {
    pub fn kind(&self) -> ErrorKind {
        self.cause.root_cause().kind()
    }

    /// How far opening the session got.
    pub fn stage(&self) -> Stage {
        self.kind().policy().stage
    }

    /// There is no usable connection to that side, as opposed to a failed statement.
    pub fn is_connection(&self) -> bool {
        self.kind().policy().is_connection
    }

    /// The same attempt may succeed later without intervention: the server is down or not ready yet. A wrong name or
    /// password is not transient.
    pub fn is_transient(&self) -> bool {
        self.cause.any(|cause| cause.kind().policy().is_transient)
    }

    /// The statement was valid, but the server could not execute it at that moment: a lock, a deadlock, lack of space,
    /// a shutdown.
    pub fn is_momentary(&self) -> bool {
        self.kind().policy().is_momentary
    }

    /// The server refused the login.
    pub fn is_refused_login(&self) -> bool {
        self.db_error().is_some() && self.kind() == ErrorKind::Login
    }

    /// The database does not exist, or does not accept connections.
    pub fn is_missing_database(&self) -> bool {
        matches!(self.kind(), ErrorKind::MissingDatabase | ErrorKind::NotInState)
    }

    /// The SQLSTATE, if PostgreSQL reported the error.
    pub fn sqlstate(&self) -> Option<&str> {
        self.db_error().map(|error| error.code().code())
    }

    /// PostgreSQL's message, if it reported the error. Untrusted: it may have several lines.
    pub fn server_message(&self) -> Option<&str> {
        self.db_error().map(DbError::message)
    }

    /// The Unix socket that could not be connected to, and the error.
    pub fn unreachable_socket(&self) -> Option<(&Path, io::ErrorKind)> {
        match self.cause.root_cause() {
            Cause::Socket(path, error) => Some((path, error.kind())),
            _ => None,
        }
    }

    /// The name of the extension or module that PoWA does not have.
    pub fn unknown_name(&self) -> Option<&str> {
        match self.cause.root_cause() {
            Cause::UnknownName { name, .. } => Some(name),
            _ => None,
        }
    }

    /// The configured host name is a URL, or contains a port.
    pub fn is_about_host_name(&self) -> bool {
        self.cause.any(|cause| matches!(cause, Cause::WithHostHint(..)))
    }

    /// The server does not offer TLS.
    pub fn is_without_tls(&self) -> bool {
        matches!(self.cause.root_cause(), Cause::Tls(TlsError::NotOffered))
    }

    /// The role does not exist, or may not log in. All refused logins have this SQLSTATE, and the message may be in any
    /// language; the name of the reporting routine is the same in all of them.
    pub fn is_about_role(&self) -> bool {
        let is_about_role = |error: &DbError| {
            error.routine() == Some("InitializeSessionUserId") || error.message().ends_with("does not exist")
        };
        let is_login = |code: &SqlState| *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION;
        self.db_error().is_some_and(|error| is_login(error.code()) && is_about_role(error))
    }

    pub(super) fn db_error(&self) -> Option<&DbError> {
        self.cause.db_error()
    }
}

impl Cause {
    /// The error without its context. Of several attempts, the last one that is more specific than a refused login:
    /// with `sslmode=prefer`, the real reason is followed by "no pg_hba.conf entry" for the attempt without TLS.
    pub(super) fn root_cause(&self) -> &Self {
        match self {
            Self::At(_, cause) | Self::WithNote(cause, _) | Self::WithHostHint(cause, _) => cause.root_cause(),
            Self::All(causes) => {
                let is_specific = |cause: &&Self| {
                    cause.db_error().is_none_or(|error| *error.code() != SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
                };
                causes.iter().rev().find(is_specific).or(causes.last()).map_or(self, Self::root_cause)
            }
            _ => self,
        }
    }

    fn db_error(&self) -> Option<&DbError> {
        match self.root_cause() {
            Self::Postgres(error) => error.as_db_error(),
            _ => None,
        }
    }

    /// Whether a test holds for this cause, or for one that it contains: of several attempts, one is enough.
    fn any(&self, test: fn(&Self) -> bool) -> bool {
        test(self)
            || match self {
                Self::At(_, cause) | Self::WithNote(cause, _) | Self::WithHostHint(cause, _) => cause.any(test),
                Self::All(causes) => causes.iter().any(|cause| cause.any(test)),
                _ => false,
            }
    }

    /// The kind of a root cause.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::BadParameters(_) => ErrorKind::BadParameters,
            Self::ParametersTimeout(_) => ErrorKind::ParametersTimeout,
            Self::NameTimeout(_) => ErrorKind::NameLookup,
            Self::Network(error) => of_network(error),
            Self::Timeout(_) | Self::NoSession(_) | Self::Socket(..) => ErrorKind::Unreachable,
            Self::Tls(error) => of_tls(error),
            Self::Refused(_) => ErrorKind::Login,
            Self::LocalFile(_) => ErrorKind::LocalFile,
            Self::Unexpected(_) => ErrorKind::UnexpectedAnswer,
            Self::MissingPowa => ErrorKind::MissingPowa,
            Self::NotRegistered => ErrorKind::NotRegistered,
            Self::UnknownName { .. } => ErrorKind::UnknownName,
            Self::Postgres(error) => of_driver(error),
            Self::At(_, cause) | Self::WithNote(cause, _) | Self::WithHostHint(cause, _) => cause.kind(),
            // An empty list of attempts.
            Self::All(_) => ErrorKind::Driver,
        }
    }
}

fn of_driver(error: &tokio_postgres::Error) -> ErrorKind {
    if let Some(error) = error.as_db_error() {
        return ErrorKind::of_sqlstate(error.code().code());
    }
    let source = std::error::Error::source(error);
    if source.is_some_and(|cause| cause.is::<WasNull>() || cause.is::<WrongType>()) {
        return ErrorKind::UnexpectedAnswer;
    }
    let io = source.and_then(|cause| cause.downcast_ref::<io::Error>());
    // With TLS 1.3, the server's refusal of our certificate arrives after the handshake.
    match io.and_then(|error| error.get_ref()?.downcast_ref::<TlsError>()) {
        Some(error) => of_tls(error),
        None if error.is_closed() || io.is_some() => ErrorKind::Unreachable,
        None => ErrorKind::Driver,
    }
}

fn of_tls(error: &TlsError) -> ErrorKind {
    if error.is_lost() { ErrorKind::TlsLost } else { ErrorKind::TlsRefused }
}

/// Only the message of `getaddrinfo` tells whether the name does not exist or the name service did not answer.
fn of_network(error: &io::Error) -> ErrorKind {
    let message = error.to_string();
    match (message.contains("failed to lookup address"), message.contains("Temporary failure")) {
        (false, _) => ErrorKind::Unreachable,
        (true, true) => ErrorKind::NameLookup,
        (true, false) => ErrorKind::UnknownHost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_that_of_postgresqls_error_codes() {
        let cases = [
            ("08006", ErrorKind::Unreachable),
            ("08P01", ErrorKind::Protocol),
            ("28P01", ErrorKind::Login),
            ("53300", ErrorKind::TooManyConnections),
            ("53200", ErrorKind::OutOfResources),
            ("57P01", ErrorKind::ShuttingDown),
            ("57014", ErrorKind::Interrupted),
            ("55P03", ErrorKind::Interrupted),
            ("40P01", ErrorKind::Interrupted),
            ("3D000", ErrorKind::MissingDatabase),
            ("42501", ErrorKind::Denied),
            ("22012", ErrorKind::Statement),
            ("é", ErrorKind::Statement),
        ];
        for (code, kind) in cases {
            assert_eq!(ErrorKind::of_sqlstate(code), kind, "{code}");
        }
    }

    #[test]
    fn one_attempt_of_several_that_may_succeed_later_is_enough() {
        let refused = || Error::refused(crate::Side::Remote, "connect", "no password");
        let timeout = Error::elapsed(crate::Side::Remote, "connect", std::time::Duration::from_secs(1));
        assert!(!refused().is_transient());
        let both = Error::all_of(crate::Side::Remote, "connect", vec![timeout, refused()]);
        assert!(both.is_transient());
        assert_eq!((both.kind(), both.stage()), (ErrorKind::Login, Stage::Login));
    }
}
