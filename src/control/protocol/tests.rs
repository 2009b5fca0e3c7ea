use super::*;
use crate::control::detail::tests::worker;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use session::Side;

fn id(number: i32) -> ServerId {
    ServerId::new(number).unwrap()
}

fn only(names: &[&str]) -> CatalogRefresh {
    CatalogRefresh::Only(names.iter().map(ToString::to_string).collect())
}

#[test]
fn commands_are_understood() {
    let cases = [
        ("RELOAD -", Command::Reload),
        ("RELOAD", Command::Reload),
        ("RELOAD r12 ", Command::Reload),
        ("WORKERS_STATUS r12", Command::WorkersStatus(ServerSelection::All)),
        ("WORKERS_STATUS r12 ", Command::WorkersStatus(ServerSelection::All)),
        ("WORKERS_STATUS r12 3", Command::WorkersStatus(ServerSelection::Only(vec![id(3)]))),
        ("WORKERS_STATUS r12 3 4", Command::WorkersStatus(ServerSelection::Only(vec![id(3), id(4)]))),
        ("WORKERS_STATUS r12 99999999999999999999", Command::WorkersStatus(ServerSelection::Only(vec![]))),
        ("WORKERS_STATUS r12 0", Command::WorkersStatus(ServerSelection::Only(vec![]))),
        ("WORKERS_DETAIL r12", Command::WorkersDetail(ServerSelection::All)),
        ("WORKERS_DETAIL r12 3 0", Command::WorkersDetail(ServerSelection::Only(vec![id(3)]))),
        ("FORCE_SNAPSHOT r12 3", Command::ForceSnapshot(id(3))),
        ("REFRESH_DB_CAT r12 3 0", Command::RefreshCatalogs(id(3), CatalogRefresh::All)),
        ("REFRESH_DB_CAT r12 3 0 ", Command::RefreshCatalogs(id(3), CatalogRefresh::All)),
        ("REFRESH_DB_CAT r12 3 1 app", Command::RefreshCatalogs(id(3), only(&["app"]))),
        ("REFRESH_DB_CAT r12 3 1 my  app ", Command::RefreshCatalogs(id(3), only(&["my  app "]))),
        ("REFRESH_DB_CAT r12 3 2 a b", Command::RefreshCatalogs(id(3), only(&["a", "b"]))),
    ];
    for (payload, command) in cases {
        assert_eq!(Request::parse(payload).command, Ok(command), "{payload}");
    }
}

#[test]
fn what_is_not_understood_gets_a_reason() {
    let cases = [
        ("", "Command \"\" unknown"),
        (" ", "Command \"\" unknown"),
        ("reload -", "Command \"reload\" unknown"),
        ("RELOAD\n-", "unknown"),
        ("WORKERS_STATUS r x", "invalid remote server id x"),
        ("WORKERS_STATUS r -1", "invalid remote server id -1"),
        ("FORCE_SNAPSHOT r", "found 0 arguments"),
        ("FORCE_SNAPSHOT r ", "invalid remote server id "),
        ("FORCE_SNAPSHOT r 1 2", "found 2 arguments"),
        ("FORCE_SNAPSHOT r 1;drop", "invalid remote server id 1;drop"),
        ("FORCE_SNAPSHOT r 0", "Server id 0 not found"),
        ("FORCE_SNAPSHOT r 99999999999", "Server id 99999999999 not found"),
        ("REFRESH_DB_CAT r 1", "found 1 arguments"),
        ("REFRESH_DB_CAT r 1 x", "invalid number of databases x"),
        ("REFRESH_DB_CAT r 1 -1 a", "invalid number of databases -1"),
        ("REFRESH_DB_CAT r 1 0 a", "expected 0 database names, found 1"),
        ("REFRESH_DB_CAT r 1 1", "expected 1 database names, found 0"),
        ("REFRESH_DB_CAT r 1 3 a b", "expected 3 database names, found 2"),
    ];
    for (payload, reason) in cases {
        let found = Request::parse(payload).command.unwrap_err();
        assert!(found.contains(reason), "{payload}: {found}");
    }
}

#[test]
fn an_answer_is_wanted_only_with_a_channel() {
    for (payload, channel) in [
        ("RELOAD", None),
        ("RELOAD ", None),
        ("RELOAD -", None),
        ("RELOAD r1", Some("r1")),
        ("RELOAD \"; drop", Some("\";")),
        ("X -- a", Some("--")),
    ] {
        assert_eq!(Request::parse(payload).channel.as_deref(), channel, "{payload}");
    }
}

#[test]
fn answers_say_the_command_the_status_and_the_data() {
    let request = Request::parse("RELOAD r1");
    assert_eq!(request.answer(&Ok("OK".into())), "RELOAD OK OK");
    assert_eq!(request.answer(&Err("no, \"never\"".into())), "RELOAD KO no, \"never\"");
    let long = request.answer(&Err("é".repeat(8000)));
    assert!(long.len() < 8000 && long.len() > 7990, "{}", long.len());
}

#[test]
fn answers_are_taken_apart() {
    let request = Request::parse("RELOAD r1");
    for outcome in [Ok(String::from("OK")), Err("no, \"never\" again".into()), Ok(String::new())] {
        let text = request.answer(&outcome);
        let expected = outcome.as_deref().map_err(|reason| Refusal::Reason(reason));
        assert_eq!(Answer::parse(&text), Some(Answer { name: "RELOAD", outcome: expected }), "{text}");
    }
    let request = Request::parse("RELAOD r1");
    let refused = request.answer(&Err(request.command.clone().unwrap_err()));
    for unknown in ["RELOAD UNKNOWN Message invalid", &refused] {
        assert_eq!(Answer::parse(unknown).map(|answer| answer.outcome), Some(Err(Refusal::Unknown)), "{unknown}");
    }
    assert_eq!(Answer::parse("RELOAD"), None);
}

#[test]
fn statuses_of_any_number_of_workers_fit_into_answers_that_are_valid_each() {
    let request = Request::parse("WORKERS_STATUS r1");
    assert_eq!(status_objects(&request, &BTreeMap::new()), ["{}"]);
    let one = BTreeMap::from([(id(3), Status::Running)]);
    assert_eq!(status_objects(&request, &one), ["{\"3\": \"running\"}"]);

    let many: BTreeMap<_, _> = (1..=2000).map(|number| (id(number), Status::NoConnection(Side::Repository))).collect();
    let objects = status_objects(&request, &many);
    let mut found = 0;
    for object in &objects {
        assert!(request.answer(&Ok(object.clone())).len() < 8000);
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(object).unwrap();
        found += object.len();
    }
    assert_eq!(found, 2000);
    assert!(objects.len() < 20, "{}", objects.len());
}

#[test]
fn what_is_known_of_any_number_of_workers_fits_into_answers_that_say_how_many_there_are() {
    let request = Request::parse("WORKERS_DETAIL r1");
    assert_eq!(detail_objects(&request, &BTreeMap::new()), ["{\"of\": 0, \"servers\": {}}"]);
    let trouble = "nobody answers; \"who\" is there? ".repeat(100);
    let details: BTreeMap<_, _> = (1..=300).map(|number| (id(number), Detail::of(&worker("h", &trouble)))).collect();
    let mut found = BTreeMap::new();
    for object in detail_objects(&request, &details) {
        let answer = request.answer(&Ok(object.clone()));
        assert_eq!(answer, format!("WORKERS_DETAIL OK {object}"), "it was cut");
        let Details { of, servers } = serde_json::from_str(&object).unwrap();
        assert_eq!(of, 300);
        found.extend(servers);
    }
    assert_eq!(found, details);
}

/// Payloads that are almost valid, and some that are not valid at all.
fn payload() -> impl Strategy<Value = String> {
    let words = [
        "RELOAD",
        "WORKERS_STATUS",
        "WORKERS_DETAIL",
        "FORCE_SNAPSHOT",
        "REFRESH_DB_CAT",
        "-",
        "",
        "0",
        "1",
        "2",
        "-1",
        "r1",
    ];
    let word = prop_oneof![
        4 => select(words.to_vec()).prop_map(String::from),
        1 => "[0-9]{1,40}",
        1 => "\\PC{0,10}",
        1 => any::<String>(),
    ];
    prop_oneof![3 => vec(word, 0..8).prop_map(|words| words.join(" ")), 1 => any::<String>()]
}

fn database() -> impl Strategy<Value = String> {
    "[^ \\x00]{1,20}"
}

fn status() -> impl Strategy<Value = Status> {
    select(vec![
        Status::Running,
        Status::Stopping,
        Status::Stopped,
        Status::NoConnection(Side::Remote),
        Status::NoConnection(Side::Repository),
    ])
}

proptest! {
    #[test]
    fn any_payload_is_understood_or_gets_a_reason(payload in payload()) {
        let request = Request::parse(&payload);
        prop_assert!(payload.starts_with(&request.name));
        prop_assert!(request.channel.as_deref().is_none_or(|name| !name.is_empty() && name != "-" && !name.contains(' ')));
        prop_assert!(!matches!(&request.command, Err(reason) if reason.is_empty()));
    }

    #[test]
    fn an_answer_fits_and_begins_with_the_word_asked(
        payload in prop_oneof![payload(), "x{7900,8100}"],
        data in "\\PC{0,9}",
        times in 0..2000_usize,
        is_ok: bool,
    ) {
        let request = Request::parse(&payload);
        let data = data.repeat(times);
        let answer = request.answer(&if is_ok { Ok(data.clone()) } else { Err(data.clone()) });
        prop_assert!(answer.len() <= 7_999);
        let whole = format!("{} {} {data}", request.name, if is_ok { "OK" } else { "KO" });
        prop_assert!(whole.starts_with(&answer));
        // At most one character more than necessary is cut.
        prop_assert!(answer.len() == whole.len() || answer.len() > 7_999 - 4);
    }

    #[test]
    fn commands_survive_being_written_and_read(number in 1..=i32::MAX, channel in "[^ \\-][^ ]{0,20}") {
        for (payload, command) in [
            (format!("RELOAD {channel}"), Command::Reload),
            (format!("FORCE_SNAPSHOT {channel} {number}"), Command::ForceSnapshot(id(number))),
            (format!("WORKERS_STATUS {channel} {number}"), Command::WorkersStatus(ServerSelection::Only(vec![id(number)]))),
            (format!("REFRESH_DB_CAT {channel} {number} 0"), Command::RefreshCatalogs(id(number), CatalogRefresh::All)),
        ] {
            let request = Request::parse(&payload);
            prop_assert_eq!(request.command, Ok(command));
            prop_assert_eq!(request.channel.as_ref(), Some(&channel));
            prop_assert_eq!(Some(request.name.as_str()), payload.split(' ').next());
        }
    }

    #[test]
    fn names_of_databases_survive_being_written_and_read(names in btree_set(database(), 1..20)) {
        let listed: Vec<_> = names.iter().map(String::as_str).collect();
        let payload = format!("REFRESH_DB_CAT r1 3 {} {}", listed.len(), listed.join(" "));
        let expected = Command::RefreshCatalogs(id(3), CatalogRefresh::Only(names.clone()));
        prop_assert_eq!(Request::parse(&payload).command, Ok(expected));
        // A single name may contain spaces.
        let spaced = listed.join(" ");
        let expected = Command::RefreshCatalogs(id(3), only(&[&spaced]));
        prop_assert_eq!(Request::parse(&format!("REFRESH_DB_CAT r1 3 1 {spaced}")).command, Ok(expected));
    }

    #[test]
    fn a_number_is_that_of_a_server_or_of_none(number in any::<i128>(), zeros in 0..50_usize) {
        let text = format!("{}{number}", "0".repeat(zeros));
        let known = i32::try_from(number).ok().and_then(ServerId::new);
        let expected = match (number, known) {
            (_, Some(id)) => Ok(Command::ForceSnapshot(id)),
            (0.., None) => Err(format!("Server id {text} not found")),
            _ => Err(format!("invalid remote server id {text}")),
        };
        prop_assert_eq!(Request::parse(&format!("FORCE_SNAPSHOT r1 {text}")).command, expected);
    }

    #[test]
    fn every_worker_is_in_one_object_and_every_object_in_one_answer(
        statuses in btree_map((1..=i32::MAX).prop_map(id), status(), 0..400),
    ) {
        let request = Request::parse("WORKERS_STATUS r1");
        let mut found = BTreeMap::new();
        for object in status_objects(&request, &statuses) {
            let answer = request.answer(&Ok(object.clone()));
            prop_assert_eq!(answer, format!("WORKERS_STATUS OK {object}"), "it was cut");
            let object: BTreeMap<String, String> = serde_json::from_str(&object).unwrap();
            for (number, status) in object {
                prop_assert!(found.insert(id(number.parse().unwrap()), status).is_none(), "{number} twice");
            }
        }
        let expected: BTreeMap<_, _> = statuses.iter().map(|(id, status)| (*id, status.to_string())).collect();
        prop_assert_eq!(found, expected);
    }
}
