//! Hostile input: nothing is executed as SQL, blocks anybody, or forges lines of the log.

pub(crate) mod channel;
pub(crate) mod names;

use postgres::Client;

use crate::support::Collector;

/// In everything that must not run. Nobody else has a reason to say it.
const MARKER: &str = "pwned";

/// Each would run in a place where it is not quoted, or quoted in another way.
const INJECTIONS: [&str; 8] = [
    "'; create table public.pwned (); --",
    "\"; create table public.pwned (); --",
    "\\'; create table public.pwned (); --",
    "$$; create table public.pwned (); --$$",
    ");create/**/table/**/public.pwned();--",
    "\n; create table public.pwned ();\n\\! touch pwned\n",
    "{powa}{pwned}{}{0}%s%(pwned)s${pwned}",
    "\r\n2026-11-21T00:00:00Z ERROR pwned\u{1b}[31m",
];

fn assert_nothing_ran(client: &mut Client) {
    let tables = "select count(*) from pg_class where relname = $1";
    assert_eq!(client.query_one(tables, &[&MARKER]).unwrap().get::<_, i64>(0), 0);
}

fn level(line: &str) -> Option<&str> {
    line.split_ascii_whitespace().nth(1)
}

/// Every line is a message with its time and level.
fn assert_log_is_in_order(collector: &Collector) {
    let levels = ["DEBUG", "INFO", "WARN", "ERROR"];
    for line in collector.log() {
        assert!(line.split(' ').next().is_some_and(|time| time.len() == 27 && time.ends_with('Z')), "{line:?}");
        assert!(level(&line).is_some_and(|level| levels.contains(&level)), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}
