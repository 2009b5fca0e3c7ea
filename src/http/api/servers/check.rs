//! Checks a server, as the command `check` does.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::super::super::backend::Backend;
use super::super::super::routes::AppState;
use super::super::extract::{Name, NoParameters, Operator, Parameters};
use super::super::openapi::Errors;
use super::super::problem::Problem;
use super::find;
use crate::check::{CheckTarget, Checker, Findings, ServerFacts, Verdict};
use crate::repository::{NewServer, Repository};
use crate::server::Server;

/// Time limit for a check, which reads as much as a snapshot.
const LIMIT: Duration = Duration::from_secs(120);

/// The result of a check.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct CheckObject {
    id: i32,
    /// The worst of all findings: well, warning or wrong.
    mark: &'static str,
    /// PostgreSQL's version.
    postgresql: Option<String>,
    powa: Option<String>,
    encrypted: Option<bool>,
    round_trip_ms: Option<f64>,
    /// Datasources that could be read.
    datasources: Option<usize>,
    rows: Option<u64>,
    databases: Option<usize>,
    took_ms: u64,
    findings: Vec<FindingObject>,
}

/// What was found out about one step.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct FindingObject {
    what: &'static str,
    /// well, warning, wrong, or "not tried" after an earlier step has failed.
    mark: &'static str,
    /// The datasource, database or extension.
    about: Option<String>,
    said: String,
    /// Ways to solve the problem; one is enough.
    cures: Vec<CureObject>,
}

/// A way to solve a problem.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct CureObject {
    #[serde(rename = "where")]
    place: &'static str,
    text: String,
}

/// Checks whether snapshots of the server can be taken. Reads as much as a snapshot, and stores nothing.
#[utoipa::path(
    post, path = "/api/v1/servers/{server}/check", operation_id = "checkServer", tag = "servers",
    params(("server" = String, Path, description = "id, alias or host:port")),
    responses((status = 200, description = "the result", body = CheckObject), Errors)
)]
pub(in crate::http::api) async fn check(
    State(app): State<Arc<AppState>>,
    Operator(_): Operator,
    Name(name): Name,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<CheckObject>, Problem> {
    let server = find(&app, &name).await?;
    let (backend, id) = (app.api.backend()?, server.id);
    let repository = backend.repository.clone();
    let checked = limited(&backend, async {
        let state = repository.inspect().await?;
        let rows = repository.all_servers().await?;
        let text = id.to_string();
        let valid = rows.servers.iter().find(|row| row.id == id).map(Ok);
        let row = valid.or_else(|| rows.invalid.iter().find(|row| row.id() == text).map(Err));
        let row = row.ok_or_else(|| Problem::not_found("the server was removed meanwhile"))?;
        Ok(Checker::new((*backend.config).clone(), repository.clone(), &state).check(server, row).await)
    })
    .await?;
    Ok(Json(object(id.get(), checked.findings, checked.facts)))
}

/// Checks a server that is to be registered.
///
/// # Errors
/// Something is wrong with it, or it cannot be checked.
pub(super) async fn check_new(
    backend: &Backend,
    repository: &Repository,
    (new, extensions): (&NewServer, &[String]),
) -> Result<(), Problem> {
    let row = Server::parse(new.row()).map_err(|error| Problem::invalid(error.to_string()))?;
    let (findings, _) = limited(backend, async {
        let state = repository.inspect().await?;
        let checker = Checker::new((*backend.config).clone(), repository.clone(), &state);
        Ok(checker.check_unregistered(&row, CheckTarget::New(extensions)).await)
    })
    .await?;
    match findings.worst().filter(|worst| worst.verdict == Verdict::Wrong) {
        None => Ok(()),
        Some(worst) => {
            let about = worst.about.as_ref().map(|about| format!(" of {about}")).unwrap_or_default();
            let detail = format!(
                "the check failed, so the server is not registered: {}{about}: {}",
                worst.item.word(),
                worst.message
            );
            let cures: Vec<_> = worst.cures.iter().map(|cure| format!("{}: {}", cure.kind.word(), cure.text)).collect();
            let problem = Problem::invalid(detail);
            Err(if cures.is_empty() { problem } else { problem.with_hint(cures.join("; or ")) })
        }
    }
}

/// Runs a check, if not too many are running.
async fn limited<T>(backend: &Backend, check: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let Ok(_permit) = Arc::clone(&backend.checks).try_acquire_owned() else {
        return Err(Problem::unavailable("other checks are running").retry_after(Duration::from_secs(5)));
    };
    match timeout(LIMIT, check).await {
        Ok(checked) => checked,
        Err(_) => {
            let detail = format!("the check took longer than {} s", LIMIT.as_secs());
            Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, detail).with_hint("powa-collector check has no such limit"))
        }
    }
}

fn object(id: i32, findings: Findings, facts: ServerFacts) -> CheckObject {
    let finding = |finding: &crate::check::Finding| FindingObject {
        what: finding.item.word(),
        mark: finding.verdict.word(),
        about: finding.about.clone(),
        said: finding.message.clone(),
        cures: finding
            .cures
            .iter()
            .map(|cure| CureObject { place: cure.kind.word(), text: cure.text.clone() })
            .collect(),
    };
    CheckObject {
        id,
        mark: findings.verdict().word(),
        postgresql: facts.version,
        powa: facts.powa,
        encrypted: facts.is_encrypted,
        round_trip_ms: facts.clock.map(|clock| (clock.round_trip.as_secs_f64() * 1e6).round() / 1e3),
        datasources: facts.datasources.map(|(number, _)| number),
        rows: facts.datasources.map(|(_, rows)| rows),
        databases: facts.databases,
        took_ms: facts.took,
        findings: findings.iter().map(finding).collect(),
    }
}
