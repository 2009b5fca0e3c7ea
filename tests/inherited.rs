//! Settings of roles and databases, which every session inherits, do not change the stored rows.

use std::collections::BTreeSet;
use std::ops::Range;

use lab::Registration;
use postgres::Client;
use serde_json::json;

use crate::support::{OwnRemote, Scene, Stopwatch, log_of_server, replacing, tests, wait_until};

tests![
    #[hurried] the_same_rows_arrive_whatever_roles_and_databases_set,
    a_time_that_is_enough_for_nothing_is_enough_to_set_another,
    #[timed] a_datasource_waits_for_a_lock_as_long_as_the_role_says,
    #[timed] a_datasource_waits_for_a_lock_for_two_seconds_where_nobody_says,
    a_setting_in_the_connection_string_holds_while_a_snapshot_is_loaded;
    only 4:
    #[hurried] an_extension_that_is_moved_is_found_again,
];

/// What a role or a database may set, and what makes no sense for a collector.
const ODD: [(&str, &str); 24] = [
    ("statement_timeout", "'1s'"),
    ("idle_in_transaction_session_timeout", "'1ms'"),
    ("idle_session_timeout", "'1s'"),
    ("lock_timeout", "'9s'"),
    ("default_transaction_read_only", "on"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"),
    ("exit_on_error", "on"),
    ("client_min_messages", "debug1"),
    ("client_encoding", "LATIN1"),
    ("DateStyle", "'SQL, DMY'"),
    ("IntervalStyle", "sql_standard"),
    ("TimeZone", "'Asia/Kathmandu'"),
    ("extra_float_digits", "'-15'"),
    ("bytea_output", "escape"),
    ("standard_conforming_strings", "off"),
    ("escape_string_warning", "off"),
    ("backslash_quote", "off"),
    ("array_nulls", "off"),
    ("quote_all_identifiers", "on"),
    ("row_security", "off"),
    ("lc_numeric", "'C'"),
    ("lc_messages", "'C'"),
    ("search_path", "trap, pg_catalog"),
];

/// Whoever looks up `=` on this path finds one that fails.
const TRAP: &str = "create schema trap;
    create function trap.equal(name, name) returns boolean language plpgsql as $$ begin raise 'trapped'; end $$;
    create operator trap.= (leftarg = name, rightarg = name, function = trap.equal);
    create function trap.equal(text, text) returns boolean language plpgsql as $$ begin raise 'trapped'; end $$;
    create operator trap.= (leftarg = text, rightarg = text, function = trap.equal)";

const SAMPLE: &str = "at timestamptz, local timestamp, day date, clock timetz, span interval, double float8,
    single float4, exact numeric, bytes bytea, line text, list text[], doubles float8[], range tstzrange, name text";

/// A role of this name, a third of the settings each for the role, the database, and both.
fn set_oddly(client: &mut Client, role: &str, database: &str, postgres_major: u32) {
    client.batch_execute(TRAP).unwrap();
    let database = format!("\"{}\"", database.replace('"', "\"\""));
    let mut sql = format!("create role {role} superuser login;");
    let newer = [("transaction_timeout", "'1s'")].into_iter().filter(|_| postgres_major >= 17);
    for (at, (name, value)) in ODD.into_iter().chain(newer).enumerate() {
        sql += &match at % 3 {
            0 => format!("alter role {role} set {name} = {value};"),
            1 => format!("alter role {role} in database {database} set {name} = {value};"),
            // The tests' own sessions in the database are not to inherit it.
            _ if name.contains("timeout") || name == "search_path" => {
                format!("alter role {role} set {name} = {value};")
            }
            _ => format!("alter database {database} set {name} = {value};"),
        };
    }
    client.batch_execute(&sql).unwrap();
}

/// A datasource with a row of all that the settings have a say in.
fn sample_on_remote(remote: &OwnRemote) {
    let rows = "select timestamptz '2026-03-04 05:06:07.123456+05:45', timestamp '1999-12-31 23:59:59.5',
            date '2026-01-02', timetz '04:05:06-08', interval '1 year -2 mons +3 days -04:05:06.7',
            0.1::float8 + 0.2::float8, 1.0::float4 / 3, 1e-20::numeric, decode('00ff5c27', 'hex'),
            E'back\\slash \t \n '' \" é € {}'::text, array['a', null, 'NULL', '', E'b\\c', '{x,\"y\"}'],
            array[pi(), 'NaN', '-Infinity', 1e-300, null],
            tstzrange('2026-03-04 05:06:07+00', null), quote_ident('plain')
        union all
        select '-infinity', 'infinity', '0044-03-15 BC', null, interval '-1 day +00:00:01', -0.0, 'NaN', null, '', '',
            array[]::text[], null, 'empty', null
        union all
        select null, null, null, null, null, null, null, null, null, null, null, null, null, null";
    let function = format!(
        "create function powa_samples_src(_srvid integer) returns table ({SAMPLE}) language sql stable as $body$
        {rows} $body$"
    );
    remote.connect().batch_execute(&function).unwrap();
}

fn sample_in_repository(scene: &Scene, server: i32) {
    let mut repository = scene.repository();
    let place = format!(
        "create table powa_samples_src_tmp (srvid integer, {SAMPLE});
        create function powa_samples_snapshot(_srvid integer) returns void language sql as 'select'"
    );
    repository.batch_execute(&place).unwrap();
    let register = if scene.generation().powa_major() >= 5 {
        format!(
            "insert into powa_modules (module, min_version) values ('samples', 0);
            insert into powa_module_functions (module, operation, function_name, query_source)
            values ('samples', 'snapshot', 'powa_samples_snapshot', 'powa_samples_src');
            insert into powa_module_config (srvid, module) values ({server}, 'samples')"
        )
    } else {
        format!(
            "insert into powa_functions (srvid, module, operation, function_name, query_source)
            values ({server}, 'samples', 'snapshot', 'powa_samples_snapshot', 'powa_samples_src')"
        )
    };
    repository.batch_execute(&register).unwrap();
}

/// Column by column, in the binary form that no setting has a say in.
fn samples(scene: &Scene) -> Vec<String> {
    let names = SAMPLE.split(',').map(|column| column.split_whitespace().next().unwrap());
    let columns: Vec<_> = names.map(|name| format!("row({name})")).collect();
    let sent = columns.iter().map(|column| format!("encode(record_send({column}), 'hex')")).collect::<Vec<_>>();
    let sql = format!("select distinct concat_ws(' ', {}) from powa_samples_src_tmp order by 1", sent.join(", "));
    scene.repository().query(&sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

/// Tables with rows of the server. What is emptied by being read, or happens to be seen, is not counted on.
fn filled(scene: &Scene, server: i32) -> BTreeSet<String> {
    let mut repository = scene.repository();
    let tables = "select table_name::text from information_schema.columns join information_schema.tables
        using (table_schema, table_name) where column_name = 'srvid' and table_type = 'BASE TABLE'";
    let tables: Vec<String> = repository.query(tables, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    let mut has_rows = |table: &String| {
        !repository.query(&format!("select from {table} where srvid = {server} limit 1"), &[]).unwrap().is_empty()
    };
    let is_reliable = |table: &String| !table.contains("qualstats") && !table.contains("wait_sampling");
    tables.into_iter().filter(|table| is_reliable(table) && has_rows(table)).collect()
}

fn the_same_rows_arrive_whatever_roles_and_databases_set(scene: &Scene) {
    let remote = scene.own_remote();
    sample_on_remote(&remote);
    let plainly = scene.register_as(remote.registration());
    sample_in_repository(scene, plainly);
    let collector = scene.collector();
    scene.wait_for_snapshots(plainly, 2);
    collector.stop();
    let expected = samples(scene);
    assert_eq!(expected.len(), 3, "{expected:?}");
    let is_right = "select count(*) from powa_samples_src_tmp where at = '2026-03-04 05:06:07.123456+05:45'
        and list[2] is null and list[3] = 'NULL' and double = 0.1::float8 + 0.2::float8 and line like '%€%'";
    assert!(scene.count(is_right) > 0);

    let odd = scene.another();
    let role = format!("odd_{}", remote.name.replace(' ', "_"));
    let postgres_major = scene.generation().postgres_major();
    set_oddly(&mut remote.connect(), &role, &remote.name, postgres_major);
    set_oddly(&mut odd.repository(), &role, &odd.database, postgres_major);
    let oddly = odd.register_as(Registration { username: &role, ..remote.registration() });
    sample_in_repository(&odd, oddly);
    let collector = odd.collector_with(json!({"repository": {"dsn": odd.dsn(&role)}}));
    odd.wait_for_snapshots(oddly, 2);
    assert_eq!(odd.errors(oddly), [""; 0]);
    assert_eq!(collector.logged("could not"), [""; 0]);
    assert_eq!(samples(&odd), expected);
    let missing: Vec<_> = filled(scene, plainly).difference(&filled(&odd, oddly)).cloned().collect();
    assert_eq!(missing, [""; 0]);
}

fn a_time_that_is_enough_for_nothing_is_enough_to_set_another(scene: &Scene) {
    let role = format!("hurried_{}", scene.number());
    let hurried = format!("create role {role} superuser login; alter role {role} set statement_timeout = '1ms'");
    scene.remote("powa").batch_execute(&hurried).unwrap();
    let server = scene.register_as(Registration { username: &role, ..Registration::of(scene.remote_server()) });
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
}

fn a_datasource_waits_for_a_lock_as_long_as_the_role_says(scene: &Scene) {
    assert_waited(scene, Some("4s"), 4_000..6_000);
}

fn a_datasource_waits_for_a_lock_for_two_seconds_where_nobody_says(scene: &Scene) {
    assert_waited(scene, None, 2_000..4_000);
}

/// For so many milliseconds, by a snapshot with a datasource that waits for a lock which somebody holds. The others
/// arrive.
fn assert_waited(scene: &Scene, lock_timeout: Option<&str>, expected: Range<u128>) {
    let remote = scene.own_remote();
    let mut client = remote.connect();
    // As the server has seen it: how long the other datasources take is another matter.
    let mark = format!("milliseconds waited in \"{}\":", remote.name);
    let waiting = format!(
        "declare since timestamptz := clock_timestamp();
        begin
            perform pg_advisory_xact_lock(1);
        exception when lock_not_available then
            raise log ''{mark} %'', (extract(epoch from clock_timestamp() - since) * 1000)::int;
            raise;
        end;"
    );
    client.batch_execute(&replacing("powa_statements_src", &waiting)).unwrap();
    if let Some(limit) = lock_timeout {
        scene
            .remote("postgres")
            .batch_execute(&format!("alter database \"{}\" set lock_timeout = '{limit}'", remote.name))
            .unwrap();
    }
    client.batch_execute("select pg_advisory_lock(1)").unwrap();
    let server = scene.register_as(Registration { frequency: 60, ..remote.registration() });
    let stopwatch = Stopwatch::start();
    let _collector = scene.collector();
    let error = scene.wait_for_error(server, "powa_statements_src");
    for part in ["remote server", "canceling statement due to lock timeout", "another session holds a lock on it"] {
        assert!(error.contains(part), "{part} is missing in: {error}");
    }
    assert_eq!(scene.errors(server).len(), 1);
    assert!(scene.count("select count(*) from powa_databases where srvid > 0") >= 4);
    let log = log_of_server(&remote.log());
    let waited = log.lines().find_map(|line| line.split_once(&mark)).expect("the wait is in the log").1;
    let waited: u128 = waited.trim().parse().unwrap();
    let longest = expected.end + stopwatch.stood_still().as_millis();
    assert!((expected.start..longest).contains(&waited), "{waited} ms");
}

fn a_setting_in_the_connection_string_holds_while_a_snapshot_is_loaded(scene: &Scene) {
    // The laboratory's own is off, and the statement_timeout is one of those that the collector decides about.
    let witness = "create table seen (commits text, patience text);
        create function witness() returns trigger language plpgsql as $$ begin
            insert into public.seen
            values (current_setting('synchronous_commit'), current_setting('statement_timeout'));
            return new;
        end $$;
        create trigger witness after update of snapts on powa_snapshot_metas for each row execute function witness()";
    scene.repository().batch_execute(witness).unwrap();
    let server = scene.register();
    let dsn = scene.dsn("postgres") + " options='-csynchronous_commit=local -cstatement_timeout=1ms'";
    let _collector = scene.collector_with(json!({"repository": {"dsn": dsn}}));
    scene.wait_for_snapshots(server, 1);
    let as_given = "select count(*) from seen where commits = 'local' and patience = '10min'";
    assert!(scene.count(as_given) > 0);
    assert_eq!(scene.count("select count(*) from seen") - scene.count(as_given), 0);
}

fn an_extension_that_is_moved_is_found_again(scene: &Scene) {
    let remote = scene.own_remote();
    let server = scene.register_as(remote.registration());
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    assert_eq!(scene.errors(server), [""; 0]);
    let moved = "create schema elsewhere; drop extension pg_qualstats; create extension pg_qualstats schema elsewhere";
    remote.connect().batch_execute(moved).unwrap();
    let before = scene.snapshots(server);
    // The next one may have begun before.
    scene.wait_for_snapshots(server, before + 2);
    wait_until("no error to be left", || scene.errors(server).is_empty());
}
