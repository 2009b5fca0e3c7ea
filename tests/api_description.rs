//! Compares the API with its description: schemathesis sends requests that the description allows, and some that it does not, and
//! compares the answers with it.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::api_servers::registered;
use crate::support::{Scene, tests};

tests![;
    since 5:
    #[long] the_answers_are_those_that_are_described,
];

/// Its settings: which statuses answer a request that the description allows. A schema does not describe every rule, such as what a
/// schedule is, so 422 is among them; 400, for what is not well-formed, is not.
const SETTINGS: &str = "[checks.positive_data_acceptance]
expected-statuses = [\"2xx\", 401, 403, 404, 409, 412, 422]

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 412, 415, 422, 428]

[parameters]
server = \"al1\"

[[operations]]
include-operation-id = \"removeServer\"
parameters = { server = \"al2\" }
";

/// They wait for a server for as long as the request says. Other tests have them.
const LEFT_OUT: [&str; 2] = ["takeSnapshot", "checkServer"];

/// Requests of each operation that are generated at random, besides those for the limits of each value.
const EXAMPLES: &str = "8";

/// Seconds, on a machine that is busy with other tests.
const LIMIT: &str = "400";

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,negative_data_rejection,positive_data_acceptance,unsupported_method";

fn the_answers_are_those_that_are_described(scene: &Scene) {
    scene.set_up();
    registered(scene, 3);
    let tokens = scene.directory().join("tokens");
    std::fs::write(&tokens, "admin:admin:admin-0123456789abcdef\n").unwrap();
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (collector, api) = scene.with_api(json!({"tokens_file": tokens}));
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/target/schemathesis/bin/schemathesis");
    assert!(std::path::Path::new(program).exists(), "{program}: scripts/install-python-programs schemathesis");
    std::fs::write(scene.directory().join("schemathesis.toml"), SETTINGS).unwrap();
    let mut command = Command::new("timeout");
    command
        .args([LIMIT, program])
        .current_dir(scene.directory())
        .args(["run", &format!("http://{}/api/v1/openapi.json", api.address)])
        .args(["--header", "Authorization: Bearer admin-0123456789abcdef"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES, "--seed", "1", "--no-shrink"])
        .args(["--checks", CHECKS, "--request-timeout", "30", "--continue-on-failure", "--no-color"])
        .args(LEFT_OUT.iter().flat_map(|name| ["--exclude-operation-id", *name]));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Tested: "), "{text}");
    assert!(collector.is_running() && collector.logged("panicked").is_empty(), "{:?}", collector.logged("panicked"));
}
