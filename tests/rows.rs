//! All rows are stored unchanged, each in the place where it belongs.

use lab::{Cluster, Registration};
use serde_json::{Value, json};

use crate::support::{FakeServer, OwnRemote, Scene, Statements, tests, with_powa};

tests![
    texts_arrive_byte_for_byte,
    texts_of_10_mb_arrive,
    texts_are_cut_at_a_character_where_they_are_limited,
    bytes_that_are_not_utf8_arrive_as_replacements,
    no_row_arrives_under_another_server_whatever_is_sent,
];

/// Only what is about statements.
fn statements_only(remote: &OwnRemote, scene: &Scene) -> i32 {
    scene.register_as(Registration { extensions: &[], ..remote.registration() })
}

/// Has texts collected, and compares them to what they should have become.
fn arrive(scene: &Scene, remote: &OwnRemote, texts: &[String]) {
    arrive_with(scene, remote, json!({}), texts);
}

fn arrive_with(scene: &Scene, remote: &OwnRemote, config: Value, texts: &[String]) {
    let server = statements_only(remote, scene);
    let _collector = scene.collector_with(config);
    scene.wait_for_snapshots(server, 1);
    assert_eq!(scene.errors(server), [""; 0]);
    let sql = "select query from powa_statements where srvid = $1 order by queryid";
    let arrived = scene.repository().query(sql, &[&server]).unwrap();
    assert_eq!(arrived.len(), texts.len());
    for (row, text) in arrived.iter().zip(texts) {
        let arrived: &str = row.get(0);
        // They may be too long to be shown whole.
        let differ = || arrived.bytes().zip(text.bytes()).position(|(a, b)| a != b);
        let begin = |text: &str| text.chars().take(100).collect::<String>();
        assert!(arrived == text, "{:?} became {:?}, {:?}", begin(text), begin(arrived), differ());
    }
}

fn texts_arrive_byte_for_byte(scene: &Scene) {
    let remote = scene.own_remote();
    let mut statements = Statements::of(remote.connect());
    let control: String = (1..=31).chain([127, 128, 133]).filter_map(char::from_u32).collect();
    let texts = [
        "select 1\tas tab,\n2 as newline,\r\n3 as both,\r4 as carriage_return",
        "\\.",
        "\n\\.\n",
        "select E'\\.' from \\.\n",
        "\\N",
        "\\n \\t \\r \\\\n \\x41 \\101",
        "\\",
        "ends with a backslash\\",
        "ends with two\\\\",
        "\\\n7\t1\tforged",
        "\r",
        "\n",
        " ",
        "",
        &control,
        "é € 😀 \u{feff}\u{fffd}\u{2028}\u{10ffff}",
        "'; drop table x; --",
        "{powa} {pg_stat_statements}",
    ]
    .map(ToOwned::to_owned);
    for (n, text) in (1..).zip(&texts) {
        statements.say(n, text);
    }
    arrive(scene, &remote, &texts);
}

fn texts_of_10_mb_arrive(scene: &Scene) {
    let remote = scene.own_remote();
    let mut statements = Statements::of(remote.connect());
    // Of characters of four, two and one bytes, so that no two pieces are cut alike.
    let texts = ["x", "\\.\n", "😀é."].map(|text| text.repeat(10_000_000 / text.len()));
    for (n, text) in (1..).zip(&texts) {
        statements.say(n, text);
    }
    arrive(scene, &remote, &texts);
}

fn texts_are_cut_at_a_character_where_they_are_limited(scene: &Scene) {
    const MOST: usize = 11;
    let remote = scene.own_remote();
    let mut statements = Statements::of(remote.connect());
    let texts = [
        "select 1",
        "select 2 +3",
        "select 2 + 3",
        "\\\n\t\r\\\n\t\r\\\n\t\r",
        "\\N is no NULL",
        "ééééé€",
        "éééééé",
        "😀😀😀",
        "select 12 \u{fffd}",
        "",
    ]
    .map(ToOwned::to_owned);
    let long = "😀\\\n".repeat(1_000_000);
    let texts: Vec<_> = texts.into_iter().chain([long]).collect();
    for (n, text) in (1..).zip(&texts) {
        statements.say(n, text);
    }
    let cut: Vec<_> = texts.iter().map(|text| text[..text.floor_char_boundary(MOST)].to_owned()).collect();
    arrive_with(scene, &remote, json!({"limits": {"query_text": MOST}}), &cut);
}

fn bytes_that_are_not_utf8_arrive_as_replacements(scene: &Scene) {
    let remote = scene.own_remote_in("SQL_ASCII");
    let mut statements = Statements::of(remote.connect());
    let all_bytes: Vec<u8> = (1..=255).collect();
    let texts: [&[u8]; 9] = [
        b"caf\xe9",
        "café €".as_bytes(),
        b"cut in a character \xe2\x82",
        b"\xe2\x82",
        b"\xff\xfe\tselect\n\\\xf0\x9f\x98\\.\r",
        b"\xed\xa0\x80 half of a pair, \xc0\xaf more than it takes",
        b"\\.",
        b"\xc3\\",
        &all_bytes,
    ];
    for (n, text) in (1..).zip(texts) {
        statements.say_bytes(n, text);
    }
    arrive(scene, &remote, &texts.map(|text| String::from_utf8_lossy(text).into_owned()));
}

fn no_row_arrives_under_another_server_whatever_is_sent(scene: &Scene) {
    // A small one, as it is collected many times.
    let remote = Cluster::start(scene.generation(), "lied-about").unwrap();
    remote.create_powa_database("powa").unwrap();
    Statements::of(with_powa(remote.connect("powa").unwrap())).say(1, "honest");
    // Nobody collects from it: whatever there is of it was forged.
    let victim = scene.register_as(Registration { frequency: -1, ..Registration::of(scene.remote_server()) });
    let lies: [fn(&str, &str) -> Vec<String>; 10] = [
        |honest, forged| vec![format!("{honest}\r{forged}\r")],
        |honest, forged| vec![format!("{honest}\r\n{forged}\r\n")],
        |honest, forged| vec![format!("{honest}\n{forged}\n")],
        |honest, forged| vec![format!("{honest}\r"), forged.into(), "\r".into()],
        |honest, forged| vec![format!("{honest}\n"), forged.into(), "\n".into()],
        |honest, forged| vec![format!("{honest}\\\n{forged}\n")],
        |honest, forged| vec![format!("{honest}\n\\.\n{forged}\n")],
        |honest, forged| vec![format!("\\.\r{forged}\r{honest}\r")],
        |honest, forged| vec![format!("\\\r{forged}\r{honest}\r")],
        |honest, forged| vec![format!("{honest}\0\n{forged}\n")],
    ];
    let liars = lies.map(|lie| {
        FakeServer::before(&remote, move |row| {
            let honest = std::str::from_utf8(row).ok()?.trim_end();
            let forged = format!("{victim}\t{}", honest.replace("\thonest\t", "\tforged\t"));
            honest.contains("\thonest\t").then(|| lie(honest, &forged).into_iter().map(String::into_bytes).collect())
        })
    });
    let servers = liars.each_ref().map(|fake_server| {
        scene.register_as(Registration { port: fake_server.port, extensions: &[], ..Registration::of(&remote) })
    });
    let collector = scene.collector();
    for server in servers {
        scene.wait_for_snapshots(server, 1);
    }
    collector.stop();
    assert!(liars.iter().all(|fake_server| fake_server.lies() > 0));
    for table in ["powa_statements", "powa_statements_src_tmp", "powa_statements_history_current"] {
        assert_eq!(scene.count(&format!("select count(*) from {table} where srvid = {victim}")), 0, "{table}");
    }
    // What is not only the row of somebody else is kept, or refused and told.
    for server in servers {
        let kept = format!("select count(*) from powa_statements where srvid = {server}");
        assert!(scene.count(&kept) > 0 || !scene.errors(server).is_empty(), "of server {server}");
    }
}
