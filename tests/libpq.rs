//! Connection strings are parsed as the real libpq parses them: that of psycopg2, and that of psql.

mod compared_with_psql;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use fastrand::Rng;
use libpq::{Conninfo, KEYWORDS};
use serde_json::{Value, json};

use crate::support::python;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("connection_strings_are_read_as_libpq_reads_them", connection_strings_are_read_as_libpq_reads_them),
    ("every_keyword_of_libpqs_is_known_with_its_variable", every_keyword_of_libpqs_is_known_with_its_variable),
    (
        "psql_tries_the_same_sockets_and_refuses_the_same",
        compared_with_psql::psql_tries_the_same_sockets_and_refuses_the_same,
    ),
];

/// Those that libpq has since 18. What is installed may be older.
const NEW: &[&str] = &[
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "scram_client_key",
    "scram_server_key",
    "sslkeylogfile",
];

/// Where the collector differs on purpose, or follows a newer libpq than the one that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// libpq takes what the collector cannot do.
    Refused,
    /// In the URI, the password may go on as a host or a database.
    Ambiguous,
    /// libpq does not see the NUL character, and what comes after it.
    Nul,
    /// Since libpq 18, spaces in a URI are percent-encoded, and those around its parts do not count.
    Spaces,
    /// libpq knows the keyword since 18.
    NewKeyword,
}

fn connection_strings_are_read_as_libpq_reads_them() {
    use Difference::{Ambiguous, NewKeyword, Nul, Refused, Spaces};
    let mut rng = Rng::with_seed(1);
    let written = AGREED.iter().map(|text| (*text, None));
    let written: Vec<_> =
        written.chain(DIFFERENT.iter().map(|(text, difference)| (*text, Some(*difference)))).collect();
    let generated = (0..1500).flat_map(|_| [pairs(&mut rng), uri(&mut rng)]);
    let texts: Vec<_> = written.iter().map(|(text, _)| (*text).to_owned()).chain(generated).collect();
    let libpq = Libpq::ask(&texts);

    let mut found = BTreeMap::<_, usize>::new();
    for (position, (text, theirs)) in texts.iter().zip(&libpq.answers).enumerate() {
        let ours = Conninfo::parse(text).map_err(|error| error.to_string());
        let difference = difference(text, &ours, theirs.as_ref());
        let is_of_age = matches!(difference, Some(Spaces | NewKeyword));
        assert!(!(is_of_age && libpq.is_new), "{text:?}: we: {ours:?}; libpq: {theirs:?}");
        if let Some((_, expected)) = written.get(position) {
            let is_overtaken = libpq.is_new && matches!(expected, Some(Spaces | NewKeyword));
            assert!(difference == *expected || is_overtaken, "{text:?}: we: {ours:?}; libpq: {theirs:?}");
        }
        *found.entry((difference, ours.is_ok())).or_default() += 1;
    }
    // What is generated is neither all nonsense nor all plain.
    for (kind, least) in [((None, true), 500), ((None, false), 500), ((Some(Ambiguous), false), 50)] {
        assert!(found.get(&kind).is_some_and(|count| *count >= least), "{kind:?}: {found:?}");
    }
    assert!(found.contains_key(&(Some(Refused), false)) && found.contains_key(&(Some(Nul), false)), "{found:?}");
}

/// How what we make of a string differs from what libpq makes of it. To differ other than on purpose is to fail.
fn difference(
    text: &str,
    ours: &Result<Conninfo, String>,
    theirs: Option<&BTreeMap<String, String>>,
) -> Option<Difference> {
    let has_spaces = text.starts_with("postgres") && text.contains(' ');
    let is = |theirs: &BTreeMap<String, String>, seen: fn(&str) -> &str| {
        let theirs = theirs.iter().map(|(keyword, value)| (keyword.as_str(), seen(value)));
        ours.as_ref().is_ok_and(|ours| ours.iter().map(|(keyword, value)| (keyword, seen(value))).eq(theirs))
    };
    let has_new = |ours: &Conninfo| ours.iter().any(|(keyword, _)| NEW.contains(&keyword));
    match (ours, theirs) {
        (Err(_), None) => None,
        (Ok(_), Some(theirs)) if is(theirs, |value| value) => None,
        (Ok(_), Some(theirs)) if has_spaces && is(theirs, |value| value.trim_matches(' ')) => Some(Difference::Spaces),
        (Ok(_), None) if has_spaces => Some(Difference::Spaces),
        (Ok(ours), None) if has_new(ours) => Some(Difference::NewKeyword),
        (Err(error), Some(_)) if error.contains("is not supported") => Some(Difference::Refused),
        (Err(error), Some(_)) if error.contains("@ / ? = and %") => Some(Difference::Ambiguous),
        (Err(error), Some(_)) if error.contains("a space is written %20") => Some(Difference::Spaces),
        (Err(error), Some(_)) if error.contains("NUL") => Some(Difference::Nul),
        _ => panic!("{text:?}: we: {ours:?}; libpq: {theirs:?}"),
    }
}

fn every_keyword_of_libpqs_is_known_with_its_variable() {
    let theirs = Libpq::ask(&[]).keywords;
    let ours: BTreeMap<_, _> =
        KEYWORDS.iter().map(|keyword| (keyword.name.to_owned(), keyword.variable.map(ToOwned::to_owned))).collect();
    for (keyword, variable) in &theirs {
        assert_eq!(ours.get(keyword), Some(variable), "{keyword}");
    }
    let more: Vec<_> = ours.keys().filter(|keyword| !theirs.contains_key(*keyword)).collect();
    assert!(more.is_empty() || more == NEW, "{more:?}");
}

/// What the real libpq says.
struct Libpq {
    /// As new as the table of keywords.
    is_new: bool,
    keywords: BTreeMap<String, Option<String>>,
    /// What each connection string gives, or nothing for one that is none.
    answers: Vec<Option<BTreeMap<String, String>>>,
}

impl Libpq {
    fn ask(texts: &[String]) -> Self {
        let python = python();
        assert!(python.exists(), "psycopg2 is not on this machine: scripts/install-python-programs powa-web");
        let mut asked = Command::new(python)
            .args(["-c", include_str!("libpq/ask.py")])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // All of it is read before anything is answered.
        asked.stdin.take().unwrap().write_all(json!(texts).to_string().as_bytes()).unwrap();
        let output = asked.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", output.status);
        let message: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let answers: Vec<_> = message["answers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|answer| {
                let pairs = answer.as_object()?.iter();
                Some(pairs.map(|(keyword, value)| (keyword.clone(), text(value).unwrap())).collect())
            })
            .collect();
        assert_eq!(answers.len(), texts.len());
        let keywords = message["keywords"].as_object().unwrap().iter();
        Self {
            is_new: message["version"].as_u64().unwrap() >= 180_000,
            keywords: keywords.map(|(keyword, variable)| (keyword.clone(), text(variable))).collect(),
            answers,
        }
    }
}

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

/// Pairs, most of them well-formed.
fn pairs(rng: &mut Rng) -> String {
    const SPACES: &[&str] = &[" ", " ", " ", " ", " ", " ", "\t", "\n ", "\x0b", "\x0c", "\r\n", "", "\u{a0}"];
    const VALUES: &[&str] = &[
        "a",
        "5",
        "",
        "a=b",
        "'a b'",
        "''",
        r"'it\'s'",
        r"'\\'",
        r"a\ b",
        r"\\",
        r"\'a",
        r"a'b",
        "'a'",
        "ü",
        "/run/pg",
        "a,b",
        "require",
        "'a'b",
        "1",
        "postgres://h",
        "\"",
        "%41",
        "disable",
        "'a\nb'",
    ];
    let mut text = String::from(pick(rng, &["", "", " ", "\x0c"]));
    for _ in 0..rng.usize(..5) {
        let before = pick(rng, &["", "", " ", "\t"]);
        let after = pick(rng, &["", "", " ", "\r\n"]);
        let end = pick(rng, SPACES);
        text.extend([pick(rng, WORDS), before, "=", after, pick(rng, VALUES), end]);
    }
    spoilt(rng, text)
}

/// A URI, most of them well-formed.
fn uri(rng: &mut Rng) -> String {
    const WRITTEN: &[&str] = &[
        "", "a", "%41", "a%2Fb", "%40", "ü", "a.b", "x-1", "%C3%BC", "a=b", "a?b", "a b", " a", "%20a ", "a+b", "%3d",
        "a@b", "a:b",
    ];
    const HOSTS: &[&str] =
        &["", "", "h", "h.x", "[::1]", "[fe80::1%25eth0]", "%2Frun%2Fpg", "127.0.0.1", "ü", "[a", "[]"];
    const PORTS: &[&str] = &["", "", "", ":5432", ":", ":x", ":%35"];
    let mut text = String::from(pick(rng, &["postgres://", "postgresql://"]));
    match rng.u8(..3) {
        0 => {}
        1 => text.extend([pick(rng, WRITTEN), "@"]),
        _ => text.extend([pick(rng, WRITTEN), ":", pick(rng, WRITTEN), "@"]),
    }
    for position in 0..rng.usize(1..4) {
        text.extend([if position == 0 { "" } else { "," }, pick(rng, HOSTS), pick(rng, PORTS)]);
    }
    if rng.bool() {
        text.extend(["/", pick(rng, WRITTEN)]);
    }
    if rng.bool() {
        text.push('?');
        for position in 0..rng.usize(..4) {
            text.extend([if position == 0 { "" } else { "&" }, pick(rng, WORDS), "=", pick(rng, WRITTEN)]);
        }
    }
    spoilt(rng, text)
}

/// Mostly what libpq knows.
const WORDS: &[&str] = &[
    "host",
    "host",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "options",
    "hostaddr",
    "%68ost",
    "connect_timeout",
    "gssencmode",
    "requiressl",
    "HOST",
    "nonsense",
    "ssl",
    "",
];

/// Every third loses a character, or has another one.
fn spoilt(rng: &mut Rng, text: String) -> String {
    let mut characters: Vec<_> = text.chars().collect();
    if !characters.is_empty() && rng.u8(..3) == 0 {
        let at = rng.usize(..characters.len());
        match rng.bool() {
            true => drop(characters.remove(at)),
            false => characters.insert(at, rng.choice(*b"=' \\@:/?&%,[]1a").expect("there are some").into()),
        }
    }
    characters.into_iter().collect()
}

/// Where there is no difference.
const AGREED: &[&str] = &[
    "",
    " ",
    "host",
    "host=",
    "=",
    "=a",
    "host=a host=",
    "host= port=5",
    "host = a\x0bport\r=\n5",
    "host='a'port=1",
    "host='a",
    r"host='a\'",
    r"host=a\",
    r"password='it\'s \\ \x'",
    r"password=a\ b\'c\\d'e",
    "user=\u{a0}ü",
    "user=a\u{a0}b=c",
    "HOST=a",
    "requiressl=1",
    "requiressl=0",
    "requiressl=",
    "ssl=true",
    "sslmode=nonsense port=x connect_timeout=-1",
    "gssencmode=disable gssdelegation=0 replication=off sslcertmode=allow",
    "gssencmode='' sslcertmode=''",
    "application_name=a client_encoding=b",
    "dbname=postgres://h",
    " postgres://h",
    "postgres:/h",
    "Postgres://h",
    "mysql://h?a=b",
    "postgres://",
    "postgresql:///",
    "postgresql://?",
    "postgres://@",
    "postgres://:@:/?",
    "postgres://u:@h",
    "postgres://:p@h",
    "postgres://u:a:b?c@h",
    "postgres://u%3a:p%40%2F%3f@[::1]:5/d%20e",
    "postgres://[::1",
    "postgres://[]",
    "postgres://[::1]x",
    "postgres://[::1]?user=u",
    "postgres://[::1],[::2]:3/",
    "postgres://,",
    "postgres://a:1,:2,c",
    "postgres://a,b/d",
    "postgres://:5433",
    "postgres://h:x/d",
    "postgres://%2Frun%2Fpg/d",
    "postgres:///d?host=/run/pg&port=5433",
    "postgres://h/d/e",
    "postgres://h?user=u&",
    "postgres://h?&user=u",
    "postgres://h?user",
    "postgres://h?user=a=b",
    "postgres://h?=a",
    "postgres://h?user=u?port=5",
    "postgres://h?%75ser=u%3Dv&password=",
    "postgres://h?ssl=true",
    "postgres://h?%73sl=tr%75e",
    "postgres://h?ssl=true&sslmode=disable",
    "postgres://h?ssl=false",
    "postgres://h?ssl=",
    "postgres://h?requiressl=1",
    "postgres://h?HOST=a",
    "postgres://u@h?application_name=a@b",
    "postgres://h/%zz",
    "postgres://h/%4",
    "postgres://h/%",
    "postgres://h/%00",
    "postgres://h/%ff",
    "postgres://h/%+1",
    "postgres://h/%4ü",
    "postgres://h#a",
    "postgres://h\n/d",
];

const DIFFERENT: &[(&str, Difference)] = &[
    ("gssencmode=require", Difference::Refused),
    ("gssencmode=nonsense", Difference::Refused),
    ("gssdelegation=1", Difference::Refused),
    ("replication=database", Difference::Refused),
    ("sslcertmode=require", Difference::Refused),
    ("postgres://h?gssencmode=require", Difference::Refused),
    ("postgres://u:p@w@h/d", Difference::Ambiguous),
    ("postgres://u:p/w@h/d", Difference::Ambiguous),
    ("postgres://u:p@w/x@h/d", Difference::Ambiguous),
    ("postgres://u:p?w=1@h/d", Difference::Ambiguous),
    ("postgres://h?application_name=a@b", Difference::Ambiguous),
    ("host=a\0b", Difference::Nul),
    ("postgres://h/a b", Difference::Spaces),
    ("postgres:// h / d ", Difference::Spaces),
    ("postgres://h?user = u", Difference::Spaces),
    ("min_protocol_version=3.0", Difference::NewKeyword),
    ("max_protocol_version=latest", Difference::NewKeyword),
    ("oauth_issuer='' scram_client_key=''", Difference::NewKeyword),
];
