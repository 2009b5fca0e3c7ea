//! What was found, for programs: one object, as `docs/commands.md` has it. Pure.

use std::time::Duration;

use serde_json::{Value, json};

use super::Outcome;
use crate::check::{CheckedServer, Finding, Findings};
use crate::postgres::ClockReading;

/// All of it, with a line break at its end.
pub(super) fn of(outcome: &Outcome) -> String {
    let when = outcome.when.map(|when| humantime::format_rfc3339_millis(when).to_string());
    let result = if outcome.is_unchecked() { "not checked" } else { outcome.mark().word() };
    let object = json!({
        "time": when,
        "result": result,
        "configuration": {
            "file": outcome.file,
            "mark": outcome.of_configuration().word(),
            "said": outcome.unreadable,
            "findings": findings(&outcome.configuration),
        },
        "repository": outcome.repository.as_ref().map(|repository| match repository {
            Ok(checked) => json!({
                "mark": checked.findings.mark().word(),
                "postgresql": checked.state.version,
                "powa": checked.state.powa.to_string(),
                "role": checked.state.role,
                "round_trip_ms": millis(checked.state.clock.round_trip),
                "clock_ahead_ms": ahead(&checked.state.clock),
                "findings": findings(&checked.findings),
            }),
            Err(found) => json!({
                "mark": found.mark().word(),
                "postgresql": null,
                "powa": null,
                "role": null,
                "round_trip_ms": null,
                "clock_ahead_ms": null,
                "findings": findings(found),
            }),
        }),
        "unchecked": outcome.unchecked,
        "left_out": outcome.left_out,
        "servers": outcome.servers.iter().map(server).collect::<Vec<_>>(),
    });
    format!("{object:#}\n")
}

fn server(checked: &CheckedServer) -> Value {
    let (server, figures) = (&checked.server, &checked.figures);
    json!({
        "id": server.id.get(),
        "alias": server.alias,
        "address": server.address(),
        "active": server.is_active(),
        "mark": checked.findings.mark().word(),
        "postgresql": figures.version,
        "powa": figures.powa,
        "encrypted": figures.is_encrypted,
        "round_trip_ms": figures.clock.map(|clock| millis(clock.round_trip)),
        "clock_ahead_ms": figures.clock.as_ref().and_then(ahead),
        "datasources": figures.datasources.map(|(number, _)| number),
        "rows": figures.datasources.map(|(_, rows)| rows),
        "databases": figures.databases,
        "took_ms": figures.took,
        "findings": findings(&checked.findings),
    })
}

fn findings(findings: &Findings) -> Vec<Value> {
    findings.iter().map(finding).collect()
}

fn finding(finding: &Finding) -> Value {
    let cures = finding.cures.iter().map(|cure| json!({"where": cure.place.word(), "text": cure.text}));
    json!({
        "what": finding.what.word(),
        "mark": finding.mark.word(),
        "about": finding.about,
        "said": finding.said,
        "cures": cures.collect::<Vec<_>>(),
    })
}

/// With three digits behind the point.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Of this machine's clock. A clock that makes no sense has none.
fn ahead(clock: &ClockReading) -> Option<f64> {
    Some((clock.ahead * 1e6).round() / 1e3).filter(|ahead| ahead.is_finite())
}
