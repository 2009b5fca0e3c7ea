use std::sync::Arc;

use super::*;
use crate::remote::DatabaseInfo;
use crate::repository::columns::Targets;
use session::Extensions;

fn extensions(rows: &[(&str, &str, &str)]) -> Extensions {
    Extensions::from_rows(rows.iter().map(|(a, b, c)| (a.to_string(), b.to_string(), c.to_string())))
}

fn sources() -> Sources {
    let installed = extensions(&[("powa", "5.0.2", "powa"), ("pg_track_settings", "2.1.2", "track")]);
    let module = |name: &str, external, source: &str, cleanup: Option<&str>| Module {
        name: name.into(),
        is_extension: true,
        external,
        query_source: source.into(),
        query_cleanup: cleanup.map(Into::into),
    };
    Sources {
        powa: installed.usable_powa().unwrap(),
        extensions: installed,
        modules: vec![
            module("pg_stat_statements", false, "powa_statements_src", None),
            module("pg_track_settings", true, "pg_track_settings_rds_src", None),
            module("pg_qualstats", false, "powa_qualstats_src", Some("SELECT {pg_qualstats}.pg_qualstats_reset()")),
        ],
        database_modules: vec![
            DatabaseModule {
                name: "pg_stat_all_tables".into(),
                query_source: "SELECT 1".into(),
                target: "powa.powa_all_tables_src_tmp".into(),
                databases: None,
            },
            DatabaseModule {
                name: "pg_stat_all_indexes".into(),
                query_source: "SELECT 2".into(),
                target: "powa.powa_all_indexes_src_tmp".into(),
                databases: Some(vec!["app".into()]),
            },
        ],
        catalogs: vec![Catalog {
            name: "pg_class".into(),
            query_source: "SELECT 3".into(),
            target: "powa.powa_catalog_class_src_tmp".into(),
            fresh_in: ["app".into()].into(),
        }],
        targets: Arc::default(),
    }
}

fn database(oid: u32, name: &str, is_template: bool) -> RemoteDatabase {
    RemoteDatabase { oid, name: name.into(), is_template, is_open: true }
}

/// A plan without excluded databases.
fn whole<'a>(sources: &'a Sources, server: &RemoteServerInfo, refresh: &CatalogRefresh) -> Plan<'a> {
    Plan::new(sources, server, refresh, &Selection::default())
}

fn server() -> RemoteServerInfo {
    RemoteServerInfo {
        database: DatabaseInfo { now: "2026-01-01 00:00:00+00".into(), oid: "5".into(), name: "powa".into() },
        extensions: extensions(&[
            ("powa", "5.0.1", "Po Wa"),
            ("pg_stat_statements", "1.11", "public"),
            ("pg_track_settings", "2.1.2", "public"),
            ("pg_qualstats", "2.1.1", "quals"),
        ]),
        databases: [(5, "app", false), (6, "other", false), (1, "template1", true)]
            .map(|(oid, name, is_template)| database(oid, name, is_template))
            .into(),
        is_standby: false,
    }
}

fn names(plan: &Plan, database: &str) -> Vec<String> {
    let of = plan.others.iter().find(|plan| plan.database == database);
    of.map_or(vec![], |plan| plan.datasources.iter().map(|source| source.name.clone()).collect())
}

#[test]
fn a_module_is_read_from_its_schema_there_and_written_to_its_schema_here() {
    let sources = sources();
    let plan = whole(&sources, &server(), &CatalogRefresh::None);
    let shown: Vec<_> = plan.main.iter().map(|source| (&*source.query, &*source.target)).collect();
    assert_eq!(
        shown,
        [
            ("select * from \"Po Wa\".\"powa_statements_src\"(0)", "\"powa\".\"powa_statements_src_tmp\""),
            ("select * from \"Po Wa\".\"powa_qualstats_src\"(0)", "\"powa\".\"powa_qualstats_src_tmp\""),
            (
                "select * from \"public\".\"pg_track_settings_rds_src\"(0)",
                "\"track\".\"pg_track_settings_rds_src_tmp\""
            ),
        ]
    );
    assert_eq!(plan.main[1].cleanup.as_deref(), Some("SELECT \"quals\".pg_qualstats_reset()"));
    assert_eq!(plan.failures, []);
}

#[test]
fn an_extension_that_is_missing_on_either_side_costs_its_datasource_and_is_named() {
    let poor = RemoteServerInfo { extensions: extensions(&[("powa", "5.0.1", "powa")]), ..server() };
    let all = sources();
    let plan = whole(&all, &poor, &CatalogRefresh::None);
    assert_eq!(plan.main, []);
    let reasons: Vec<_> = plan.failures.iter().map(ToString::to_string).collect();
    assert_eq!(
        reasons,
        [
            "pg_stat_statements (powa_statements_src): extension \"pg_stat_statements\" is not installed (remote server)",
            "pg_track_settings (pg_track_settings_rds_src): extension \"pg_track_settings\" is not installed (remote server)",
            "pg_qualstats (powa_qualstats_src): extension \"pg_qualstats\" is not installed (remote server)",
        ]
    );
    let poor = Sources { extensions: extensions(&[("powa", "5.0.1", "powa")]), ..sources() };
    let plan = whole(&poor, &server(), &CatalogRefresh::None);
    assert!(plan.failures[0].to_string().contains("(repository server)"), "{:?}", plan.failures);
}

#[test]
fn database_modules_go_where_they_are_for_and_catalogs_where_they_are_old() {
    let sources = sources();
    let plan = whole(&sources, &server(), &CatalogRefresh::None);
    assert_eq!(
        names(&plan, "app"),
        ["pg_stat_all_tables of database \"app\"", "pg_stat_all_indexes of database \"app\""]
    );
    assert_eq!(
        names(&plan, "other"),
        ["pg_stat_all_tables of database \"other\"", "catalog pg_class of database \"other\""]
    );
}

#[test]
fn the_database_with_powa_needs_no_session_of_its_own() {
    let mut server = server();
    server.database.name = "app".into();
    let sources = sources();
    let plan = whole(&sources, &server, &CatalogRefresh::None);
    assert_eq!(names(&plan, "app"), [""; 0]);
    let last = &plan.main[plan.main.len() - 2..];
    assert_eq!(last[0].name, "pg_stat_all_tables of database \"app\"");
    assert_eq!(last[0].leading, Leading::ServerTimeDatabase);
}

#[test]
fn of_more_databases_than_anyone_has_the_first_are_collected_and_the_one_with_powa() {
    let mut server = server();
    let numbered = |n| database(n, &format!("db {n:06}"), false);
    server.databases = (0..u32::try_from(MAX_DATABASES).unwrap() + 3).map(numbered).collect();
    server.database.name = format!("db {:06}", MAX_DATABASES + 2);
    let sources = sources();
    let plan = whole(&sources, &server, &CatalogRefresh::None);
    assert_eq!(plan.others.len(), MAX_DATABASES);
    assert_eq!(plan.main.len(), 3 + 2);
    let reasons: Vec<_> = plan.failures.iter().map(ToString::to_string).collect();
    assert_eq!(reasons, ["databases: 2 are not collected: the limit is 10000 for each server"]);
}

#[test]
fn a_database_that_is_left_out_is_not_visited_and_nothing_of_it_is_an_error() {
    let sources = sources();
    let refresh = CatalogRefresh::Only(BTreeSet::from(["app".into(), "gone".into()]));
    let plan = Plan::new(&sources, &server(), &refresh, &Selection::without(&["ap?", "template*", "gone"], false));
    let visited: Vec<_> = plan.others.iter().map(|plan| plan.database.as_str()).collect();
    assert_eq!((visited, plan.failures), (vec!["other"], vec![]));
    assert_eq!(plan.main.len(), 3);
    // The database with PoWA keeps its modules.
    let mut server = server();
    server.database.name = "app".into();
    let plan = Plan::new(&sources, &server, &CatalogRefresh::All, &Selection::without(&["*"], false));
    assert_eq!((plan.main.len(), plan.others), (3, vec![]));
}

#[test]
fn only_rows_that_are_asked_not_to_be_there_are_dropped() {
    let mut sources = sources();
    let function = &mut sources.modules[1];
    (function.name, function.external) = ("powa_user_functions".into(), false);
    (function.is_extension, function.query_source) = (false, "powa_user_functions_src".into());
    sources.targets = Arc::new(Targets::example(&[
        ("\"powa\".\"powa_statements_src_tmp\"", &["srvid", "ts", "userid", "dbid"]),
        ("\"powa\".\"powa_user_functions_src_tmp\"", &["srvid", "ts", "dbid"]),
        ("\"powa\".\"powa_qualstats_src_tmp\"", &["uniquequalnodeid", "dbid"]),
    ]));
    let mut server = server();
    server.databases[0].is_open = false;
    let columns = |exclude_statements| {
        let selection = Selection::without(&["app", "template1"], exclude_statements);
        let plan = Plan::new(&sources, &server, &CatalogRefresh::None, &selection);
        let excluded = plan.main.into_iter().map(|source| source.excluded);
        excluded.map(|rows| rows.map(|rows| (rows.column, rows.databases.len()))).collect::<Vec<_>>()
    };
    assert_eq!(columns(true), [Some((2, 2)), Some((1, 2)), None]);
    assert_eq!(columns(false), [None, Some((1, 2)), None]);
    let plan = whole(&sources, &server, &CatalogRefresh::None);
    assert!(plan.main.iter().all(|source| source.excluded.is_none()));
}

#[test]
fn lists_are_read_after_what_refers_to_them() {
    let mut sources = sources();
    sources.modules[0].query_source = "powa_databases_src".into();
    let plan = whole(&sources, &server(), &CatalogRefresh::None);
    let modules = plan.main.iter().filter(|source| source.leading == Leading::Server);
    assert_eq!(modules.map(|source| source.is_list).collect::<Vec<_>>(), [false, true, true]);
}

#[test]
fn a_session_in_a_template_may_not_stay() {
    let sources = sources();
    let plan = whole(&sources, &server(), &CatalogRefresh::None);
    let stay: Vec<_> = plan.others.iter().map(|plan| (plan.database.as_str(), plan.may_stay_open)).collect();
    assert_eq!(stay, [("app", true), ("other", true), ("template1", false)]);
}

#[test]
fn a_refresh_adds_catalogs_that_are_fresh_and_takes_none_away() {
    let only = CatalogRefresh::Only(BTreeSet::from(["app".into(), "gone".into()]));
    for refresh in [CatalogRefresh::All, only] {
        let sources = sources();
        let plan = whole(&sources, &server(), &refresh);
        assert!(names(&plan, "app").contains(&"catalog pg_class of database \"app\"".into()));
        assert!(names(&plan, "other").contains(&"catalog pg_class of database \"other\"".into()));
        let expected = usize::from(refresh != CatalogRefresh::All);
        assert_eq!(plan.failures.len(), expected, "{:?}", plan.failures);
    }
}

#[test]
fn refreshes_add_up() {
    let only = |names: &[&str]| CatalogRefresh::Only(names.iter().map(ToString::to_string).collect());
    let sum = |mut a: CatalogRefresh, b: CatalogRefresh| {
        a.add(b);
        a
    };
    let (none, all) = (CatalogRefresh::None, CatalogRefresh::All);
    assert_eq!(sum(none.clone(), only(&["a"])), only(&["a"]));
    assert_eq!(sum(only(&["a"]), only(&["b"])), only(&["a", "b"]));
    assert_eq!(sum(only(&["a"]), all.clone()), all);
    assert_eq!(sum(all.clone(), only(&["a"])), all);
    assert_eq!(sum(all.clone(), none), all);
}
