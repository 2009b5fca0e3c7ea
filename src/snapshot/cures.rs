//! Adds cures (statements that fix the cause) to the failures of datasources.
//!
//! The remote server is queried for them only after a failure, when the transaction has ended.

use super::collect::Outcome;
use super::plan::Datasource;
use super::{SourceFailure, StartedSnapshot};
use crate::remote::{EncodedDatabase, LongRows, RemoteSession};
use session::{Error, Extensions, QuotedIdent, Side};

/// The most cures for one failure.
const MAX_CURES: usize = 5;

/// `insufficient_privilege`
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// `undefined_table` and `undefined_function`. PoWA 4 finds extensions by the `search_path`, which skips schemas on which the
/// role has no `USAGE`.
const UNDEFINED_OBJECT: [&str; 2] = ["42P01", "42883"];

/// `character_not_in_repertoire`: a text is not valid in its encoding.
const INVALID_BYTE_SEQUENCE: &str = "22021";
/// `untranslatable_character`: a text cannot be converted to another encoding.
const UNTRANSLATABLE_CHARACTER: &str = "22P05";

/// The encoding of databases that accept any bytes.
const SQL_ASCII: &str = "SQL_ASCII";

/// Adds cures to the failures of datasources in the database with PoWA. The outcomes are in the order of the plan.
pub(super) async fn add(snapshot: &StartedSnapshot, plan: &[Datasource<'_>], outcomes: &mut [Outcome]) {
    let is_one_of =
        |failure: &SourceFailure, codes: &[&str]| failure.sqlstate.as_deref().is_some_and(|code| codes.contains(&code));
    let any =
        |codes: &[&str]| outcomes.iter().flat_map(|outcome| &outcome.failures).any(|failure| is_one_of(failure, codes));
    let is_about_privileges = any(&[INSUFFICIENT_PRIVILEGE, UNDEFINED_OBJECT[0], UNDEFINED_OBJECT[1]]);
    let is_about_encodings = any(&[INVALID_BYTE_SEQUENCE, UNTRANSLATABLE_CHARACTER]);
    let (session, extensions) = (&snapshot.session, snapshot.extensions());
    let missing = if is_about_privileges { or_log(missing_grants(session, snapshot).await) } else { vec![] };
    let databases = if is_about_encodings { or_log(session.other_encodings(extensions).await) } else { vec![] };
    for (source, outcome) in plan.iter().zip(outcomes) {
        for failure in &mut outcome.failures {
            failure.cures.extend(cures_by_grant(failure, &missing));
            add_encoding_cures(failure, &databases, extensions);
            if has_statement_texts(source) && is_value_too_long(failure) {
                failure.cures.push(reset_long_texts(extensions));
            }
        }
    }
}

/// The result of a query for cures; empty if it fails. The failure of the datasource is reported anyway.
fn or_log<T>(answer: Result<Vec<T>, Error>) -> Vec<T> {
    answer.unwrap_or_else(|error| {
        tracing::debug!(error = %error, "could not query the remote server for cures");
        vec![]
    })
}

/// The `GRANT` statements for the privileges that the role lacks.
async fn missing_grants(session: &RemoteSession, snapshot: &StartedSnapshot) -> Result<Vec<String>, Error> {
    let missing = session.missing_grants(&snapshot.needed()).await?;
    if missing.is_empty() {
        return Ok(vec![]);
    }
    let role = QuotedIdent::new(&session.inspect().await?.role).to_string();
    Ok(missing.iter().map(|grant| format!("grant {grant} to {role}")).collect())
}

/// The `GRANT` statements that cure a failure.
fn cures_by_grant(failure: &SourceFailure, missing: &[String]) -> Vec<String> {
    let of_schemas = || missing.iter().filter(|grant| grant.starts_with("grant usage on schema "));
    match failure.sqlstate.as_deref() {
        // The error does not name the schema that has the object.
        Some(code) if UNDEFINED_OBJECT.contains(&code) => of_schemas().take(MAX_CURES).cloned().collect(),
        Some(INSUFFICIENT_PRIVILEGE) => {
            let function = failure.datasource.split_once(" (").and_then(|(_, name)| name.strip_suffix(')'));
            let calls =
                |grant: &&String| function.is_some_and(|name| grant.contains(&format!(".{}(", QuotedIdent::new(name))));
            let names_object = |grant: &&String| {
                object_name(grant).is_some_and(|name| has_word(server_message(&failure.reason), name))
            };
            missing.iter().find(names_object).or_else(|| missing.iter().find(calls)).cloned().into_iter().collect()
        }
        _ => vec![],
    }
}

/// The unqualified name of the object of a `GRANT` statement.
fn object_name(grant: &str) -> Option<&str> {
    let (grant, _) = grant.rsplit_once(" to ")?;
    let name = grant.split('(').next()?;
    name.strip_suffix('"')?.rsplit('"').next()
}

/// The part of an error message that comes from PostgreSQL.
fn server_message(reason: &str) -> &str {
    let message = reason.split_once("(remote server): ").map_or(reason, |(_, message)| message);
    message.split_once(" (SQLSTATE ").map_or(message, |(message, _)| message)
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + word.len()..].chars().next());
        !before.is_some_and(is_part_of_word) && !after.is_some_and(is_part_of_word)
    })
}

/// Adds the databases with statement texts that cannot be converted. PostgreSQL converts the texts of all databases before it
/// sends the first row, so one such text makes the whole datasource fail.
fn add_encoding_cures(failure: &mut SourceFailure, databases: &[EncodedDatabase], extensions: &Extensions) {
    let is_possible = |database: &&EncodedDatabase| match failure.sqlstate.as_deref() {
        Some(INVALID_BYTE_SEQUENCE) => database.known.as_ref().is_none_or(|(_, encoding)| encoding == SQL_ASCII),
        Some(UNTRANSLATABLE_CHARACTER) => database.known.as_ref().is_none_or(|(_, encoding)| encoding != SQL_ASCII),
        _ => false,
    };
    let possible: Vec<_> = databases.iter().filter(is_possible).collect();
    if possible.is_empty() {
        return;
    }
    let named: Vec<_> = possible
        .iter()
        .take(MAX_CURES)
        .map(|database| match &database.known {
            Some((name, encoding)) => format!("\"{name}\" ({encoding})"),
            None => format!("{} (dropped)", database.oid),
        })
        .collect();
    let more = possible.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let reason = format!("; PostgreSQL cannot convert a statement of database {}{more}", named.join(", "));
    failure.reason.push_str(&session::on_one_line(&reason));
    let resets =
        possible.iter().take(MAX_CURES).map(|database| reset(extensions, format_args!("0, {}, 0", database.oid)));
    failure.cures.extend(resets);
}

/// Whether a column of the datasource has statement texts.
fn has_statement_texts(source: &Datasource<'_>) -> bool {
    !source.columns.is_empty()
}

/// Whether a value is too long for the server: it cannot allocate more than 1 GB at once, and some conversions take four bytes
/// for each character.
fn is_value_too_long(failure: &SourceFailure) -> bool {
    match failure.sqlstate.as_deref() {
        Some("53200" | "54000") => true,
        // There is no SQLSTATE for it. The messages of internal errors are not translated.
        Some("XX000") => failure.reason.contains("invalid memory alloc request size"),
        _ => false,
    }
}

/// The failure of a datasource that has rows which are too long. Its other rows are collected.
pub(super) fn rows_too_long(source: &Datasource<'_>, rows: &LongRows, extensions: &Extensions) -> SourceFailure {
    let instead =
        if has_statement_texts(source) { "; set limits.query_text to keep such rows with truncated texts" } else { "" };
    let error = Error::unexpected(Side::Remote, "read all of it", format!("{rows}{instead}"));
    let mut failure = SourceFailure::new(&source.name, error.to_string());
    failure.cures = rows.statements().iter().map(|statement| reset(extensions, statement)).collect();
    if failure.cures.is_empty() && has_statement_texts(source) {
        failure.cures.push(reset_long_texts(extensions));
    }
    failure
}

fn reset(extensions: &Extensions, arguments: impl std::fmt::Display) -> String {
    format!("select {}pg_stat_statements_reset({arguments})", schema(extensions))
}

/// Resets all statements with a text of more than 32 MB, which takes 64 MB if each character is escaped.
fn reset_long_texts(extensions: &Extensions) -> String {
    let reset = reset(extensions, "userid, dbid, queryid");
    format!("{reset} from {}pg_stat_statements where octet_length(query) > 33554432", schema(extensions))
}

/// The schema of `pg_stat_statements` with a dot, or nothing if it is `public`.
fn schema(extensions: &Extensions) -> String {
    match extensions.schema("pg_stat_statements").map(ToString::to_string) {
        Ok(schema) if schema != "\"public\"" => format!("{schema}."),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(datasource: &str, sqlstate: &str, reason: &str) -> SourceFailure {
        SourceFailure { sqlstate: Some(sqlstate.into()), ..SourceFailure::new(datasource, reason) }
    }

    fn extensions(schema: &str) -> Extensions {
        Extensions::from_rows([("pg_stat_statements".into(), "1.11".into(), schema.into())])
    }

    #[test]
    fn each_failure_gets_the_grants_that_cure_it() {
        let missing = [
            "grant execute on function \"powa\".\"powa_statements_src\"(integer) to \"me\"",
            "grant select on \"powa\".\"powa_databases\" to \"me\"",
        ]
        .map(String::from);
        let statements = "pg_stat_statements (powa_statements_src)";
        let cases = [
            (
                failure(statements, INSUFFICIENT_PRIVILEGE, "permission denied for function powa_statements_src"),
                Some(0),
            ),
            (failure(statements, INSUFFICIENT_PRIVILEGE, "Keine Berechtigung"), Some(0)),
            (failure(statements, INSUFFICIENT_PRIVILEGE, "permission denied for table powa_databases"), Some(1)),
            (failure("own (src)", INSUFFICIENT_PRIVILEGE, "permission denied for table powa_databases_2"), None),
            (failure(statements, "42P01", "relation \"pg_stat_statements\" does not exist"), None),
            (failure(statements, "57014", "canceling statement"), None),
        ];
        for (failure, grant) in cases {
            let expected: Vec<_> = grant.map(|grant: usize| missing[grant].clone()).into_iter().collect();
            assert_eq!(cures_by_grant(&failure, &missing), expected, "{failure}");
        }
    }

    #[test]
    fn the_use_of_a_schema_is_granted_where_it_is_denied_and_where_a_name_is_not_found() {
        let missing = ["s", "a b"].map(|schema| format!("grant usage on schema \"{schema}\" to \"me\""));
        let of = |sqlstate, reason| cures_by_grant(&failure("pg_qualstats (src)", sqlstate, reason), &missing);
        assert_eq!(of(INSUFFICIENT_PRIVILEGE, "permission denied for schema a b"), missing[1..]);
        let around = "in s (remote server): permission denied for table x (SQLSTATE 42501); the README's chapter";
        assert_eq!(of(INSUFFICIENT_PRIVILEGE, around), [""; 0]);
        assert_eq!(of("42883", "function pg_qualstats() does not exist"), missing);
        assert_eq!(of("XX000", "no"), [""; 0]);
    }

    #[test]
    fn databases_are_named_whose_statements_cannot_be_converted() {
        let database =
            |oid: u32, encoding: &str| EncodedDatabase { oid, known: Some((format!("db {oid}"), encoding.into())) };
        let databases = [database(7, SQL_ASCII), database(8, "LATIN1")];
        for (sqlstate, oid) in [(INVALID_BYTE_SEQUENCE, 7), (UNTRANSLATABLE_CHARACTER, 8)] {
            let mut failure = failure("pg_qualstats (src)", sqlstate, "no");
            add_encoding_cures(&mut failure, &databases, &extensions("public"));
            assert_eq!(failure.cures, [format!("select pg_stat_statements_reset(0, {oid}, 0)")]);
            assert!(failure.reason.contains(&format!("database \"db {oid}\"")), "{failure}");
        }
        let mut of_dropped = failure("pg_qualstats (src)", INVALID_BYTE_SEQUENCE, "no");
        add_encoding_cures(&mut of_dropped, &[EncodedDatabase { oid: 9, known: None }], &extensions("public"));
        assert_eq!(of_dropped.cures, ["select pg_stat_statements_reset(0, 9, 0)"]);
        assert!(of_dropped.reason.ends_with("database 9 (dropped)"), "{of_dropped}");
        let many: Vec<_> = (1..=8).map(|oid| database(oid, SQL_ASCII)).collect();
        let mut failure = failure("pg_qualstats (src)", INVALID_BYTE_SEQUENCE, "no");
        add_encoding_cures(&mut failure, &many, &extensions("Odd \"name\""));
        assert_eq!(failure.cures[4], "select \"Odd \"\"name\"\"\".pg_stat_statements_reset(0, 5, 0)");
        assert!(failure.cures.len() == 5 && failure.reason.ends_with("\"db 5\" (SQL_ASCII) and 3 more"), "{failure}");
    }

    #[test]
    fn a_value_that_is_too_long_for_the_server_is_known_by_what_it_says() {
        let is = |sqlstate, reason| is_value_too_long(&failure("a (b)", sqlstate, reason));
        assert!(is("XX000", "invalid memory alloc request size 1200000004"));
        assert!(is("54000", "out of memory") && is("53200", "out of memory"));
        assert!(!is("XX000", "cache lookup failed") && !is("22021", "no"));
    }
}
