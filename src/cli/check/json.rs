//! The results as one JSON object, which `docs/commands.md` documents. Pure.

use std::time::Duration;

use serde_json::{Value, json};

use super::Outcome;
use crate::check::{CheckedServer, Finding, Findings};
use crate::server::ClockReading;

/// Ends with a line break.
pub(super) fn of(outcome: &Outcome) -> String {
    let when = outcome.when.map(|when| humantime::format_rfc3339_millis(when).to_string());
    let result = if outcome.is_unchecked() { "not checked" } else { outcome.verdict().word() };
    let object = json!({
        "time": when,
        "result": result,
        "configuration": {
            "file": outcome.file,
            "mark": outcome.of_configuration().word(),
            "said": outcome.config_error,
            "findings": findings(&outcome.configuration),
        },
        "repository": outcome.repository.as_ref().map(|repository| match repository {
            Ok(checked) => json!({
                "mark": checked.findings.verdict().word(),
                "postgresql": checked.state.version,
                "powa": checked.state.powa.to_string(),
                "role": checked.state.role,
                "round_trip_ms": millis(checked.state.clock.round_trip),
                "clock_ahead_ms": ahead(&checked.state.clock),
                "findings": findings(&checked.findings),
            }),
            Err(found) => json!({
                "mark": found.verdict().word(),
                "postgresql": null,
                "powa": null,
                "role": null,
                "round_trip_ms": null,
                "clock_ahead_ms": null,
                "findings": findings(found),
            }),
        }),
        "unchecked": outcome.unchecked,
        "left_out": outcome.excluded,
        "servers": outcome.servers.iter().map(server).collect::<Vec<_>>(),
    });
    format!("{object:#}\n")
}

fn server(checked: &CheckedServer) -> Value {
    let (server, facts) = (&checked.server, &checked.facts);
    json!({
        "id": server.id.get(),
        "alias": server.alias,
        "address": server.address(),
        "active": server.is_active(),
        "mark": checked.findings.verdict().word(),
        "postgresql": facts.version,
        "powa": facts.powa,
        "encrypted": facts.is_encrypted,
        "round_trip_ms": facts.clock.map(|clock| millis(clock.round_trip)),
        "clock_ahead_ms": facts.clock.as_ref().and_then(ahead),
        "datasources": facts.datasources.map(|(number, _)| number),
        "rows": facts.datasources.map(|(_, rows)| rows),
        "databases": facts.databases,
        "took_ms": facts.took,
        "findings": findings(&checked.findings),
    })
}

fn findings(findings: &Findings) -> Vec<Value> {
    findings.iter().map(finding).collect()
}

fn finding(finding: &Finding) -> Value {
    let cures = finding.cures.iter().map(|cure| json!({"where": cure.kind.word(), "text": cure.text}));
    json!({
        "what": finding.item.word(),
        "mark": finding.verdict.word(),
        "about": finding.about,
        "said": finding.message,
        "cures": cures.collect::<Vec<_>>(),
    })
}

/// In milliseconds, with three decimal places.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Seconds ahead of this machine's clock. `None` if the server's clock is infinite.
fn ahead(clock: &ClockReading) -> Option<f64> {
    Some((clock.ahead * 1e6).round() / 1e3).filter(|ahead| ahead.is_finite())
}
