//! Passwords, services and variables are found where psql finds them, and in the same order.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lab::Registration;
use serde_json::json;

use crate::support::{Case, Certificates, Gate, Round, SECRET, Scene, tests, text};

tests![
    a_password_file_says_what_it_says_to_psql,
    a_password_file_that_others_can_read_is_left_alone,
    the_password_file_of_the_home_folder_is_taken_where_none_is_named,
    a_password_that_was_changed_in_the_file_needs_no_restart,
    what_is_given_comes_before_the_service_and_that_before_the_environment,
    a_password_of_the_environment_comes_before_the_file,
];

const NONE: &str = "no password supplied";
const WRONG: &str = "password authentication failed";

fn write(file: &Path, text: &str, mode: u32) {
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Cases of a password file each.
struct Files<'a> {
    directory: PathBuf,
    gate: &'a Gate<'a>,
    cases: Vec<Case>,
}

impl<'a> Files<'a> {
    fn of(scene: &Scene, gate: &'a Gate<'a>) -> Self {
        Self { directory: scene.directory(), gate, cases: vec![] }
    }

    /// A file with some lines, in which `RIGHT`, `WRONG`, `PORT` and `USER` stand for what they are.
    fn file(&self, lines: &str, mode: u32) -> PathBuf {
        let file = self.directory.join(format!("{}.pgpass", self.cases.len()));
        let lines = lines
            .replace("RIGHT", &format!("{SECRET}-right"))
            .replace("WRONG", &format!("{SECRET}-wrong"))
            .replace("PORT", &self.gate.cluster.port().to_string())
            .replace("USER", &self.gate.role_of_next(self.cases.len()));
        write(&file, &lines, mode);
        file
    }

    fn case(&mut self, host: &str, lines: &str, expected: &'static str) {
        let file = self.file(lines, 0o600);
        let case = Case::new("scram", &[("passfile", text(&file))], expected).at(host).password(None);
        self.cases.push(if lines.replace('\\', "").contains(":powa:") { case.for_one_database() } else { case });
    }

    fn play(self) {
        self.gate.play(&[Round { name: "password files", certificate: None, cases: self.cases }]);
    }
}

fn a_password_file_says_what_it_says_to_psql(scene: &Scene) {
    let gate = Certificates::of(scene).gate(scene);
    let mut files = Files::of(scene, &gate);
    for (lines, expected) in [
        ("127.0.0.1:PORT:powa:USER:RIGHT\n", "plain"),
        ("127.0.0.1:PORT:powa:USER:RIGHT", "plain"),
        ("*:*:*:*:RIGHT\n", "plain"),
        ("*:*:*:*:WRONG\n", WRONG),
        ("", NONE),
        ("\n\n# *:*:*:*:WRONG\n*:*:*:*:RIGHT\n", "plain"),
        ("#*:*:*:*:RIGHT\n", NONE),
        ("localhost:*:*:*:RIGHT\n", NONE),
        ("*:1:*:*:RIGHT\n", NONE),
        ("*:*:postgres:*:RIGHT\n", NONE),
        ("*:*:*:postgres:RIGHT\n", NONE),
        // The first that fits, whatever comes after it.
        ("*:*:*:*:WRONG\n127.0.0.1:PORT:powa:USER:RIGHT\n", WRONG),
        ("127.0.0.1:PORT:powa:USER:RIGHT\n*:*:*:*:WRONG\n", "plain"),
        ("localhost:*:*:*:WRONG\n*:*:*:*:RIGHT\n", "plain"),
        // A star is one only if it stands alone.
        ("127.*:*:*:*:RIGHT\n", NONE),
        ("*:*:*:player*:RIGHT\n", NONE),
        // What is escaped is what it is.
        ("127\\.0.0.1:*:p\\owa:*:\\RIGHT\n", "plain"),
        ("\\*:*:*:*:RIGHT\n", NONE),
        // The password goes on to the next colon, or to the end of the line.
        ("*:*:*:*:RIGHT:more\n", "plain"),
        ("*:*:*:*:RIGHT \n", WRONG),
        ("*:*:*:*:RIGHT\r\n", "plain"),
        (" *:*:*:*:RIGHT\n", NONE),
        ("*:*:*:RIGHT\n", NONE),
        ("*:*:*:*\n*:*:*:*:RIGHT\n", "plain"),
        ("nonsense\n*:*:*:*:RIGHT\n", "plain"),
        ("*:*:*:*:\n", NONE),
    ] {
        files.case("127.0.0.1", lines, expected);
    }
    files.case("localhost", "localhost:*:*:*:RIGHT\n", "plain");
    files.case("LocalHost", "localhost:*:*:*:RIGHT\n", NONE);
    files.case("localhost", "127.0.0.1:*:*:*:RIGHT\n", NONE);
    files.case("::1", "\\:\\:1:*:*:*:RIGHT\n", "plain");
    // The host's own colons are not taken for the end of the field.
    files.case("::1", "::1:*:*:*:RIGHT\n", "plain");
    files.case("::1", ":*:*:*:RIGHT\n", NONE);
    files.play();
}

fn a_password_file_that_others_can_read_is_left_alone(scene: &Scene) {
    let gate = Certificates::of(scene).gate(scene);
    let mut files = Files::of(scene, &gate);
    for (mode, expected) in [
        (0o600, "plain"),
        (0o400, "plain"),
        (0o700, "plain"),
        (0o640, NONE),
        (0o604, NONE),
        (0o620, NONE),
        (0o601, NONE),
    ] {
        let file = files.file("*:*:*:*:RIGHT\n", mode);
        files.cases.push(Case::new("scram", &[("passfile", text(&file))], expected).password(None));
    }
    let directory = scene.directory();
    for nothing in ["/nowhere/.pgpass", text(&directory)] {
        files.cases.push(Case::new("scram", &[("passfile", nothing)], NONE).password(None));
    }
    files.play();
}

fn the_password_file_of_the_home_folder_is_taken_where_none_is_named(scene: &Scene) {
    let gate = Certificates::of(scene).gate(scene);
    let mut files = Files::of(scene, &gate);
    write(&gate.home().join(".pgpass"), &format!("*:*:*:*:{SECRET}-right\n"), 0o600);
    files.cases.push(Case::new("scram", &[], "plain").password(None));
    files.cases.push(Case::new("md5", &[], "plain").password(None));
    files.cases.push(Case::new("clear", &[], "plain").password(None));
    // What is given comes before the file, and the file that is named before the one that is not.
    files.cases.push(Case::new("scram", &[], WRONG).password(Some("wrong")));
    files.case("127.0.0.1", "*:*:*:*:WRONG\n", WRONG);
    files.case("127.0.0.1", "", NONE);
    files.play();
}

fn a_password_that_was_changed_in_the_file_needs_no_restart(scene: &Scene) {
    let gate = Certificates::of(scene).gate(scene);
    let role = "create role rotated login superuser password 's3cret-old' in role scram";
    gate.cluster.connect("postgres").unwrap().batch_execute(role).unwrap();
    let file = scene.directory().join(".pgpass");
    write(&file, &format!("*:*:powa:rotated:{SECRET}-new\n"), 0o600);
    let registration = Registration { username: "rotated", password: None, ..Registration::of(&gate.cluster) };
    let server = registration.register(scene.repository_server(), &scene.database).unwrap();
    let _collector = scene.collector_with(json!({"remote": {"passfile": file}}));
    scene.wait_for_error(server, WRONG);
    assert_eq!(scene.snapshots(server), 0);
    write(&file, &format!("*:*:powa:rotated:{SECRET}-old\n"), 0o600);
    scene.wait_for_snapshots(server, 1);
}

fn what_is_given_comes_before_the_service_and_that_before_the_environment(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let services = scene.directory().join("services.conf");
    let text_of_services = format!(
        "# comment\n\n[plain]\nsslmode=disable\n\n[right]\npassword={SECRET}-right\nsslmode=require\n\n\
         [elsewhere]\nhost=nowhere.invalid\nport=1\nuser=nobody\ndbname=nothing\npassword={SECRET}-wrong\n"
    );
    write(&services, &text_of_services, 0o644);
    let gate = certificates.gate(scene).env("PGSERVICEFILE", text(&services)).env("PGSSLMODE", "require");
    let with = |given, expected| Case::new("scram", given, expected);
    gate.play(&[Round {
        name: "services",
        certificate: Some(&certificates.server(&["127.0.0.1"])),
        cases: vec![
            Case::new("only_plain", &[], "pg_hba.conf rejects connection"),
            Case::new("only_plain", &[("service", "plain")], "plain"),
            Case::new("only_plain", &[("sslmode", "disable")], "plain"),
            with(&[("service", "plain")], "plain"),
            with(&[("service", "plain"), ("sslmode", "require")], "TLS"),
            with(&[("service", "right")], "TLS").password(None),
            with(&[("service", "right"), ("sslmode", "disable")], "plain").password(None),
            with(&[("service", "right")], WRONG).password(Some("wrong")),
            // Where it is and who one is, is in powa_servers.
            with(&[("service", "elsewhere")], "TLS"),
            with(&[("service", "elsewhere")], WRONG).password(None),
        ],
    }]);
}

fn a_password_of_the_environment_comes_before_the_file(scene: &Scene) {
    let gate = Certificates::of(scene).gate(scene).env("PGPASSWORD", &format!("{SECRET}-right"));
    let mut files = Files::of(scene, &gate);
    files.cases.push(Case::new("scram", &[], "plain").password(None));
    files.cases.push(Case::new("scram", &[], WRONG).password(Some("wrong")));
    files.case("127.0.0.1", "*:*:*:*:WRONG\n", "plain");
    files.play();
}
