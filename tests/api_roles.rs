//! Every path of the API, by everybody: what nobody, a viewer, an operator and an admin are answered.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::{ApiClient, Collector, Scene, tests};

tests![;
    since 5:
    every_path_wants_the_role_that_it_should,
    without_a_login_paths_that_exist_look_like_others,
    the_description_has_every_path_and_every_status,
];

/// The method, the path, and the least role.
const ROUTES: [(&str, &str, &str); 29] = [
    ("GET", "servers", "viewer"),
    ("POST", "servers", "admin"),
    ("GET", "servers/1", "viewer"),
    ("PATCH", "servers/1", "admin"),
    ("DELETE", "servers/1", "admin"),
    ("POST", "servers/1/enable", "operator"),
    ("POST", "servers/1/disable", "operator"),
    ("GET", "servers/1/schedule", "viewer"),
    ("PUT", "servers/1/schedule", "operator"),
    ("DELETE", "servers/1/schedule", "operator"),
    ("GET", "servers/1/tags", "viewer"),
    ("PUT", "servers/1/tags", "operator"),
    ("POST", "servers/1/pause", "operator"),
    ("POST", "servers/1/resume", "operator"),
    ("POST", "servers/1/refresh-catalogs", "operator"),
    ("POST", "servers/1/snapshot", "operator"),
    ("POST", "servers/1/check", "operator"),
    ("GET", "servers/1/errors", "viewer"),
    ("GET", "collectors", "viewer"),
    ("GET", "status", "viewer"),
    ("POST", "reload", "operator"),
    ("GET", "users", "admin"),
    ("POST", "users", "admin"),
    ("PATCH", "users/somebody", "admin"),
    ("DELETE", "users/somebody", "admin"),
    ("POST", "token", "viewer"),
    ("DELETE", "token", "viewer"),
    ("GET", "tokens", "viewer"),
    ("DELETE", "tokens/1", "viewer"),
];

const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

fn with_a_token_of_each_role(scene: &Scene) -> (Collector, ApiClient) {
    let file = scene.directory().join("tokens");
    let lines: Vec<_> = ROLES.iter().map(|role| format!("{role}:{role}:{role}-0123456789abcdef")).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    scene.with_api(json!({"tokens_file": file}))
}

fn every_path_wants_the_role_that_it_should(scene: &Scene) {
    scene.set_up();
    let (_collector, api) = with_a_token_of_each_role(scene);
    for (method, path, needed) in ROUTES {
        assert_eq!(api.call(method, path).status, 401, "{method} {path}");
        assert_eq!(api.bearer("nonsense").call(method, path).status, 401, "{method} {path}");
        for (number, role) in ROLES.iter().enumerate() {
            let reply = api.bearer(&format!("{role}-0123456789abcdef")).call(method, path);
            let suffices = number >= ROLES.iter().position(|role| *role == needed).unwrap();
            let is_refused = reply.status == 403 && reply.detail().starts_with("this needs the role");
            assert_eq!(is_refused, !suffices, "{method} {path} by {role}: {:#}", reply.body);
            // There is no server 1, and no token is a password.
            assert!(![401, 500, 503].contains(&reply.status), "{method} {path} by {role}: {:#}", reply.body);
        }
    }
    // All of them are here.
    let described = api.get("openapi.json").expect(200).body;
    let number: usize =
        described["paths"].as_object().unwrap().values().map(|methods| methods.as_object().unwrap().len()).sum();
    assert_eq!(number, ROUTES.len() + 1);
}

fn without_a_login_paths_that_exist_look_like_others(scene: &Scene) {
    let (_collector, api) = with_a_token_of_each_role(scene);
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
        let replies = ["servers", "servers/1", "nowhere", "", "servers/1/nowhere", "token"].map(|path| {
            let reply = api.call(method, path).expect(401);
            let mut headers = reply.headers.clone();
            headers.remove("date");
            (headers, reply.body)
        });
        assert!(replies.iter().all(|reply| *reply == replies[0]), "{method}: {replies:#?}");
    }
    let viewer = api.bearer("viewer-0123456789abcdef");
    viewer.get("nowhere").expect(404);
    let refused = viewer.call("PUT", "servers").expect(405);
    assert_eq!(refused.header("allow"), "GET, POST, HEAD");
    assert_eq!(viewer.call("DELETE", "reload").expect(405).header("allow"), "POST");
    assert_eq!(viewer.call("HEAD", "servers").status, 200);
}

fn the_description_has_every_path_and_every_status(scene: &Scene) {
    let (_collector, api) = scene.with_api(json!({}));
    let described = api.get("openapi.json").expect(200).body;
    assert!(described["openapi"].as_str().unwrap().starts_with("3.1"), "{}", described["openapi"]);
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["description"].is_string() || operation["summary"].is_string(), "{method} {path}");
            let is_open = path.ends_with("openapi.json");
            for status in ["401", "403", "429", "503"] {
                let response = &operation["responses"][status];
                assert_eq!(response.is_object(), !is_open, "{method} {path} {status}");
                let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(problem == "#/components/schemas/Problem", !is_open, "{method} {path} {status}: {response}");
            }
        }
    }
    let schemes = &described["components"]["securitySchemes"];
    assert_eq!((&schemes["password"]["scheme"], &schemes["token"]["scheme"]), (&json!("basic"), &json!("bearer")));
    for name in references(&described) {
        assert!(described["components"]["schemas"].get(&name).is_some(), "{name} is not described");
    }
}

/// The names of the schemas that are referred to.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str);
            let own = own.and_then(|reference| reference.strip_prefix("#/components/schemas/")).map(str::to_owned);
            own.into_iter().chain(members.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => vec![],
    }
}
