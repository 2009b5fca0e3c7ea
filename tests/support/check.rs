//! Runs `powa-collector check`, and reads its report.

use serde_json::{Value, json};

use super::{Scene, assert_no_secret, output, program};

/// What a check has told.
pub(crate) struct Told {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub(crate) fn check(scene: &Scene, config: Value, arguments: &[&str]) -> Told {
    let mut command = program();
    command.arg("check").arg("--config").arg(scene.config(config)).args(arguments);
    let output = output(&command);
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_no_secret("what is told", [out.as_str(), err.as_str()]);
    Told { code: output.status.code().unwrap(), out, err }
}

pub(crate) fn check_json(scene: &Scene, config: Value, arguments: &[&str]) -> (i32, Value) {
    let output = check(scene, config, &[arguments, &["--json"]].concat());
    let object =
        serde_json::from_str(&output.out).unwrap_or_else(|error| panic!("{error}: {}{}", output.out, output.err));
    (output.code, object)
}

/// The server with that id.
pub(crate) fn server(output: &Value, id: i32) -> &Value {
    output["servers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|server| server["id"] == id)
        .unwrap_or_else(|| panic!("{output:#}"))
}

/// Those that are not well, and not left out because of one that is not. Faults that PoWA has in this version are not among
/// them: [`faults`] are.
pub(crate) fn complaints(subject: &Value) -> Vec<&Value> {
    not_well(subject).into_iter().filter(|finding| !is_fault(finding)).collect()
}

/// Known faults of PoWA itself.
pub(crate) fn faults(subject: &Value) -> Vec<&Value> {
    not_well(subject).into_iter().filter(|finding| is_fault(finding)).collect()
}

/// Mends the faults that PoWA has in this version by what is printed, for a test of all that is printed.
pub(crate) fn mend_powa(scene: &Scene) {
    // No server has to be looked at for that.
    let (_, output) = check_json(scene, json!({}), &["nobody at all"]);
    for fault in faults(&output["repository"]) {
        scene.repository().batch_execute(fault["cures"][0]["text"].as_str().unwrap()).unwrap();
    }
}

fn not_well(subject: &Value) -> Vec<&Value> {
    let is_one = |finding: &&Value| ["wrong", "warning"].contains(&finding["mark"].as_str().unwrap());
    subject["findings"].as_array().unwrap().iter().filter(is_one).collect()
}

fn is_fault(finding: &Value) -> bool {
    finding["what"] == "powa" && finding["said"].as_str().is_some_and(|message| message.contains(" has a fault: "))
}

/// What is to be done at a place.
pub(crate) fn cures<'a>(subject: &'a Value, place: &str) -> Vec<&'a str> {
    let all = complaints(subject).into_iter().flat_map(|finding| finding["cures"].as_array().unwrap());
    all.filter(|cure| cure["where"] == place).map(|cure| cure["text"].as_str().unwrap()).collect()
}

/// All is well, PoWA's own faults aside.
pub(crate) fn assert_well((code, output): &(i32, Value)) {
    let expected = if faults(&output["repository"]).is_empty() { "well" } else { "warning" };
    assert_eq!((*code, &output["result"]), (0, &json!(expected)), "{output:#}");
    let servers = output["servers"].as_array().unwrap().iter();
    let all = servers.chain([&output["configuration"], &output["repository"]]);
    assert_eq!(all.flat_map(complaints).collect::<Vec<_>>(), [&json!(null); 0], "{output:#}");
}
