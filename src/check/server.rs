//! One remote server, from its name to the last of its datasources. The steps are those of a snapshot.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout;

use super::access::{refused, set_column};
use super::finding::{Finding, Findings, Mark, Place, What};
use super::subject::Subject;
use super::trial::Known;
use super::{clocks, inside, trial};
use crate::config::Config;
use crate::postgres::{
    self, ClockReading, Connectors, Endpoint, Inspection, QuotedIdent, RegisteredServer, Registration, RemoteSession,
    Repository, RepositoryState, Side,
};
use crate::server::{InvalidServer, Server};
use crate::snapshot::{self, Begun, Sessions, Snapshot, Trial};

/// What all servers are looked at with.
pub struct Ground {
    config: Arc<Config>,
    repository: Repository,
    schema: QuotedIdent,
    /// Of the repository.
    clock: ClockReading,
    connectors: Connectors,
}

/// A server, looked at.
#[derive(Debug)]
pub struct CheckedServer {
    pub server: RegisteredServer,
    pub findings: Findings,
    pub figures: Figures,
}

/// What there is to tell of a server, as far as it was found out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Of PostgreSQL.
    pub version: Option<String>,
    pub powa: Option<String>,
    pub is_encrypted: Option<bool>,
    pub clock: Option<ClockReading>,
    /// How many could be read, and their rows.
    pub datasources: Option<(usize, u64)>,
    pub databases: Option<usize>,
    /// Milliseconds that all of it took.
    pub took: u64,
}

/// The rest cannot be tried.
struct Stop;

impl Ground {
    /// With a repository that was looked at.
    pub fn new(config: Config, repository: Repository, state: &RepositoryState) -> Self {
        let (schema, clock) = (state.schema.clone(), state.clock);
        Self { config: Arc::new(config), repository, schema, clock, connectors: Connectors::default() }
    }

    /// Looks at a server. `row` is how it is to be connected to. It takes no longer than the configuration's time-outs let a
    /// snapshot take.
    pub async fn check(&self, server: RegisteredServer, row: Result<&Server, &InvalidServer>) -> CheckedServer {
        let mut findings = Findings::default();
        let figures = match row {
            Ok(row) => {
                self.registration(&server, &mut findings).await;
                self.figures(row, Subject::Registered, &mut findings).await
            }
            Err(invalid) => {
                findings.push(invalid_row(&server, invalid));
                Figures::default()
            }
        };
        CheckedServer { server, findings: findings.complete(), figures }
    }

    /// Looks at what a server would be, if it were registered like this. It takes as long as [`Self::check`].
    pub async fn check_before(&self, row: &Server, subject: Subject<'_>) -> (Findings, Figures) {
        let mut findings = Findings::default();
        findings.well(What::Registration, "it is to be registered like this");
        let figures = self.figures(row, subject, &mut findings).await;
        (findings.complete(), figures)
    }

    async fn figures(&self, row: &Server, subject: Subject<'_>, findings: &mut Findings) -> Figures {
        let begun = Instant::now();
        let mut figures = Figures::default();
        // How far it came is what the findings tell.
        let _ = self.look(row, subject, findings, &mut figures).await;
        figures.took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        figures
    }

    async fn look(
        &self,
        row: &Server,
        subject: Subject<'_>,
        findings: &mut Findings,
        figures: &mut Figures,
    ) -> Result<(), Stop> {
        let name = row.name(self.config.use_server_alias);
        let endpoint = Endpoint::remote(row, &name, &self.config, &self.connectors).for_command("check");
        match endpoint.addresses().await {
            Ok(addresses) => {
                findings.well(What::Parameters, "");
                findings.well(What::Name, addresses.join(", "));
            }
            Err(error) => {
                findings.extend(refused(&error, row, subject));
                return Err(Stop);
            }
        }
        let mut sessions = Sessions::new(endpoint);
        let session = match sessions.main().await {
            Ok(session) => session,
            Err(error) => {
                let is_new = |finding: &Finding| finding.what > What::Name || finding.mark == Mark::Wrong;
                findings.extend(refused(&error, row, subject).into_iter().filter(is_new));
                return Err(Stop);
            }
        };
        figures.is_encrypted = Some(session.is_encrypted());
        findings.well(What::Connection, "");
        findings.well(What::Tls, if session.is_encrypted() { "over TLS" } else { "without TLS" });
        findings.well(What::Login, format!("as the role \"{}\"", row.user));
        findings.well(What::Database, format!("\"{}\"", row.dbname));
        let looked = self.look_inside((row, subject), &session, &mut sessions, (findings, figures)).await;
        if looked.is_err() {
            sessions.cancel().await;
        }
        looked
    }

    async fn registration(&self, server: &RegisteredServer, findings: &mut Findings) {
        let said = if server.is_active() { "" } else { "it is not active: nothing is collected from it" };
        findings.push(match self.repository.registration(server.id).await {
            Ok(Registration::Present(_)) => Finding::new(What::Registration, Mark::Well, said),
            Ok(Registration::Missing) => {
                let said = "it has no row in powa_snapshot_metas";
                let schema = &self.schema;
                let insert = format!("insert into {schema}.powa_snapshot_metas (srvid) values ({})", server.id);
                Finding::new(What::Registration, Mark::Wrong, said).cured_by(Place::Repository, insert)
            }
            Err(error) => Finding::new(What::Registration, Mark::Wrong, error.in_full()),
        });
    }

    async fn look_inside(
        &self,
        (row, subject): (&Server, Subject<'_>),
        session: &RemoteSession,
        sessions: &mut Sessions,
        (findings, figures): (&mut Findings, &mut Figures),
    ) -> Result<(), Stop> {
        match session.clock().await {
            Ok(clock) => {
                findings.push(clocks::clock(&clock, &self.clock));
                findings.push(clocks::round_trip(&clock));
                figures.clock = Some(clock);
            }
            Err(error) => return stop(findings, What::Clock, &error),
        }
        let inspection = match session.inspect().await {
            Ok(inspection) => inspection,
            Err(error) => return stop(findings, What::Privileges, &error),
        };
        figures.version = Some(inspection.version.clone());
        let snapshot = Snapshot {
            server: row.id,
            name: &row.name(self.config.use_server_alias),
            config: &self.config,
            repository: &self.repository,
        };
        let wanted = match subject {
            Subject::Registered => self.repository.sources(row.id, session.version_num()).await,
            Subject::New(extensions) => {
                self.repository.sources_if_registered(row, extensions, session.version_num()).await
            }
        };
        let begun = match wanted {
            Ok(sources) => Snapshot::begin_for(sources, sessions).await,
            Err(error) => Err(error.into()),
        };
        let begun = match begun {
            Ok(begun) => begun,
            Err(error) => {
                let mut finding = unusable(&error);
                if error.is_of_repository() && error.sqlstate() == Some("42501") {
                    finding.cures.extend(subject.another_role());
                }
                if error.is_of_repository() {
                    finding.cures.extend(subject.without_unknown(&error.to_string()));
                }
                findings.push(finding);
                return Err(Stop);
            }
        };
        figures.powa = begun.extensions().version("powa").map(Into::into);
        findings.well(What::Powa, figures.powa.clone().unwrap_or_default());
        let missing = inside::missing_extensions(begun.sources(), begun.extensions());
        let (sources, extensions) = (begun.sources().clone(), begun.extensions().clone());
        findings.push(inside::libraries(&sources, &inspection));

        let needed = begun.needed();
        let tried = self.try_out(&snapshot, begun, sessions, findings).await;
        // In the transaction, whatever is refused would be the end of it.
        let session = match sessions.main().await {
            Ok(session) => session,
            Err(error) if tried.is_some() => return stop(findings, What::Connection, &error),
            // It is what the trial has ended with, and that is said.
            Err(_) => return Err(Stop),
        };
        let available = if missing.is_empty() { vec![] } else { session.available(&missing).await.unwrap_or_default() };
        let without = |name: &str| subject.without(row, name);
        findings.extend(inside::extensions(&sources, &extensions, &available, without));
        let grants = match session.missing_grants(&needed).await {
            Ok(grants) => grants,
            Err(error) => return stop(findings, What::Privileges, &error),
        };
        findings.extend(inside::privileges(&inspection, &grants));
        if let Some(tried) = tried {
            figures.datasources = Some((tried.read.len(), tried.read.iter().map(|tried| tried.rows).sum()));
            figures.databases = Some(tried.databases);
            findings.extend(trial_findings(&tried, &inspection, (&missing, &grants)));
        }
        Ok(())
    }

    async fn try_out(
        &self,
        snapshot: &Snapshot<'_>,
        begun: Begun,
        sessions: &mut Sessions,
        findings: &mut Findings,
    ) -> Option<Trial> {
        let limit = self.config.timeouts.snapshot;
        let failure = match timeout(limit, snapshot.try_out(begun, sessions)).await {
            Ok(Ok(trial)) => return Some(trial),
            Ok(Err(error)) => Finding::new(What::Datasources, Mark::Wrong, error.to_string()),
            Err(_) => {
                let error = postgres::Error::elapsed(Side::Remote, "collect a snapshot", limit);
                Finding::new(What::Datasources, Mark::Wrong, error.in_full())
                    .cured_by(Place::Configuration, "timeouts.snapshot: more, if it has to take this long")
            }
        };
        findings.push(failure);
        sessions.cancel().await;
        None
    }
}

fn invalid_row(server: &RegisteredServer, invalid: &InvalidServer) -> Finding {
    let finding = Finding::new(What::Registration, Mark::Wrong, invalid.to_string());
    match set_column(server.id, invalid.column()) {
        Some(change) => finding.cured_by(Place::Elsewhere, change),
        None => finding,
    }
}

fn stop(findings: &mut Findings, what: What, error: &postgres::Error) -> Result<(), Stop> {
    findings.push(Finding::new(what, Mark::Wrong, error.in_full()));
    Err(Stop)
}

fn trial_findings(tried: &Trial, inspection: &Inspection, said: (&[String], &[String])) -> Vec<Finding> {
    let (missing_extensions, missing_grants) = said;
    let known = Known { role: &inspection.role, missing_extensions, missing_grants };
    let mut findings = trial::datasources(tried, &known);
    findings.extend(trial::databases(tried, &inspection.role));
    findings
}

/// Why a snapshot cannot begin in a session that is there.
fn unusable(error: &snapshot::Error) -> Finding {
    // The repository may have something against this server only.
    let what = if error.is_of_repository() { What::Registration } else { What::Powa };
    let finding = Finding::new(what, Mark::Wrong, error.to_string());
    match error {
        snapshot::Error::Unusable(_) => finding.cured_by(Place::Remote, "create extension powa cascade"),
        snapshot::Error::Incompatible { repository, remote } => {
            let (older, newer) = if remote.is_older_than(repository) {
                (Place::Remote, repository)
            } else {
                (Place::Repository, remote)
            };
            // With its package, which has to be there first.
            let version = newer.to_string().replace('\'', "''");
            finding.cured_by(older, format!("alter extension powa update to '{version}'"))
        }
        _ => finding,
    }
}
