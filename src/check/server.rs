//! Checks a remote server in the steps of a snapshot, from the host name to the last datasource.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout;

use super::connection::{connection_findings, set_column};
use super::dry_run::{Known, RoleLimit, raise_limit};
use super::finding::{CheckItem, Cure, CureKind, Finding, Findings, Verdict};
use super::target::CheckTarget;
use super::{clocks, dry_run, extensions, versions};
use crate::config::{Config, endpoints};
use crate::remote::RemoteSession;
use crate::repository::{RegisteredServer, Registration, Repository, RepositoryState};
use crate::server::{ClockReading, InvalidServer, Server};
use crate::snapshot::{self, DryRun, Sessions, Snapshot, StartedSnapshot, max_sessions};
use session::{ConnectionLimit, Connectors, PowaVersion, QuotedIdent, Side};

/// Checks the servers of a repository.
pub(crate) struct Checker {
    config: Arc<Config>,
    repository: Repository,
    schema: QuotedIdent,
    /// The repository's.
    clock: ClockReading,
    connectors: Connectors,
}

/// A server with its findings.
#[derive(Debug)]
pub(crate) struct CheckedServer {
    pub server: RegisteredServer,
    pub findings: Findings,
    pub facts: ServerFacts,
}

/// Facts about a server, as far as the check got.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ServerFacts {
    /// PostgreSQL's.
    pub version: Option<String>,
    pub powa: Option<String>,
    pub is_encrypted: Option<bool>,
    pub clock: Option<ClockReading>,
    /// Those that could be read, and their rows.
    pub datasources: Option<(usize, u64)>,
    pub databases: Option<usize>,
    /// The duration of the check, in milliseconds.
    pub took: u64,
}

/// A finding prevents further steps.
struct Stop;

impl Checker {
    /// `state` is that of the repository.
    pub(crate) fn new(config: Config, repository: Repository, state: &RepositoryState) -> Self {
        let (schema, clock) = (state.schema.clone(), state.clock);
        Self { config: Arc::new(config), repository, schema, clock, connectors: Connectors::default() }
    }

    /// Checks a registered server. `row` is its row in `powa_servers`. Takes no longer than the time-outs let a snapshot take.
    pub(crate) async fn check(&self, server: RegisteredServer, row: Result<&Server, &InvalidServer>) -> CheckedServer {
        let mut findings = Findings::default();
        let facts = match row {
            Ok(row) => {
                self.check_registration(&server, &mut findings).await;
                self.check_server(row, CheckTarget::Registered, &mut findings).await
            }
            Err(invalid) => {
                findings.push(invalid_row(&server, invalid));
                ServerFacts::default()
            }
        };
        CheckedServer { server, findings: findings.complete(), facts }
    }

    /// Checks a server with values that are not registered, or not yet. Takes as long as [`Self::check`].
    pub(crate) async fn check_unregistered(&self, row: &Server, target: CheckTarget<'_>) -> (Findings, ServerFacts) {
        let mut findings = Findings::default();
        findings.well(CheckItem::Registration, "these values are not registered yet");
        let facts = self.check_server(row, target, &mut findings).await;
        (findings.complete(), facts)
    }

    async fn check_server(&self, row: &Server, target: CheckTarget<'_>, findings: &mut Findings) -> ServerFacts {
        let started_at = Instant::now();
        let mut facts = ServerFacts::default();
        // The findings contain the reason for an early end.
        let _ = self.check_connection(row, target, findings, &mut facts).await;
        facts.took = u64::try_from(started_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        facts
    }

    async fn check_connection(
        &self,
        row: &Server,
        target: CheckTarget<'_>,
        findings: &mut Findings,
        facts: &mut ServerFacts,
    ) -> Result<(), Stop> {
        let name = row.name(self.config.use_server_alias);
        let endpoint = endpoints::for_command(endpoints::remote(row, &name, &self.config, &self.connectors), "check");
        match endpoint.addresses().await {
            Ok(addresses) => {
                findings.well(CheckItem::Parameters, "");
                findings.well(CheckItem::Name, addresses.join(", "));
            }
            Err(error) => {
                findings.extend(connection_findings(&error, row, target));
                return Err(Stop);
            }
        }
        let mut sessions = Sessions::new(endpoint);
        let session = match sessions.main().await {
            Ok(session) => session,
            Err(error) => {
                let is_new = |finding: &Finding| finding.item > CheckItem::Name || finding.verdict == Verdict::Wrong;
                let mut found = connection_findings(&error, row, target);
                if let (Some(ConnectionLimit::Role), Some(last)) = (error.connection_limit(), found.last_mut()) {
                    let needed = max_sessions(1, self.config.limits.databases);
                    last.cures = vec![raise_limit(&row.user, needed)];
                }
                findings.extend(found.into_iter().filter(is_new));
                return Err(Stop);
            }
        };
        facts.is_encrypted = Some(session.is_encrypted());
        findings.well(CheckItem::Connection, "");
        findings.well(CheckItem::Tls, if session.is_encrypted() { "over TLS" } else { "without TLS" });
        findings.well(CheckItem::Login, format!("as the role \"{}\"", row.user));
        findings.well(CheckItem::Database, format!("\"{}\"", row.dbname));
        let result = self.check_session((row, target), &session, &mut sessions, (findings, facts)).await;
        if result.is_err() {
            sessions.cancel().await;
        }
        result
    }

    async fn check_registration(&self, server: &RegisteredServer, findings: &mut Findings) {
        let message = if server.is_active() { "" } else { "the server is disabled: no snapshots are taken" };
        findings.push(match self.repository.registration(server.id).await {
            Ok(Registration::Present(_)) => Finding::new(CheckItem::Registration, Verdict::Well, message),
            Ok(Registration::Missing) => {
                let message = "the server has no row in powa_snapshot_metas";
                let schema = &self.schema;
                let insert = format!("insert into {schema}.powa_snapshot_metas (srvid) values ({})", server.id);
                Finding::new(CheckItem::Registration, Verdict::Wrong, message).cured_by(CureKind::RepositorySql, insert)
            }
            Err(error) => Finding::new(CheckItem::Registration, Verdict::Wrong, error.to_string()),
        });
    }

    async fn check_session(
        &self,
        (row, target): (&Server, CheckTarget<'_>),
        session: &RemoteSession,
        sessions: &mut Sessions,
        (findings, facts): (&mut Findings, &mut ServerFacts),
    ) -> Result<(), Stop> {
        match session.clock().await {
            Ok(clock) => {
                findings.push(clocks::clock(&clock, &self.clock));
                findings.push(clocks::round_trip(&clock));
                facts.clock = Some(clock);
            }
            Err(error) => return stop(findings, CheckItem::Clock, &error),
        }
        let inspection = match session.inspect().await {
            Ok(inspection) => inspection,
            Err(error) => return stop(findings, CheckItem::Privileges, &error),
        };
        facts.version = Some(inspection.version.clone());
        let selection = self.config.collect.of(row.id, row.alias.as_deref());
        let context = Snapshot {
            server: row.id,
            name: &row.name(self.config.use_server_alias),
            config: &self.config,
            selection: &selection,
            repository: &self.repository,
        };
        let wanted = match target {
            CheckTarget::Registered => self.repository.sources(row.id, session.version_num()).await,
            CheckTarget::New(extensions) => {
                self.repository.sources_if_registered(row, extensions, session.version_num()).await
            }
        };
        let snapshot = match wanted {
            Ok(sources) => Snapshot::begin_for(sources, sessions).await,
            Err(error) => Err(error.into()),
        };
        let snapshot = match snapshot {
            Ok(snapshot) => snapshot,
            Err(error) => {
                let mut finding = unusable(&error);
                if let snapshot::Error::Incompatible { repository, remote } = &error {
                    finding.cures.extend(self.version_cures(session, repository, remote).await);
                }
                if error.is_denied_by_repository() {
                    finding.cures.extend(target.use_admin_role());
                }
                if error.is_of_repository() {
                    finding.cures.extend(error.unknown_name().and_then(|name| target.remove_unknown(name)));
                }
                findings.push(finding);
                return Err(Stop);
            }
        };
        facts.powa = snapshot.extensions().version("powa").map(Into::into);
        let mut powa = facts.powa.clone().unwrap_or_default();
        if snapshot.is_standby() && !selection.standby {
            powa += "; the server is a standby, and is excluded while it is one (collect.standby)";
        }
        findings.well(CheckItem::Powa, powa);
        let missing = extensions::missing_extensions(snapshot.sources(), snapshot.extensions());
        let (sources, extensions) = (snapshot.sources().clone(), snapshot.extensions().clone());
        findings.push(extensions::libraries(&sources, &inspection));

        let needed = snapshot.needed();
        let most = max_sessions(snapshot.other_databases(), self.config.limits.databases);
        let role_limit = RoleLimit { inspection: &inspection, needed: most };
        let snapshot = if role_limit.leaves_one_session() { snapshot.without_other_databases() } else { snapshot };
        let dry_run_result = self.dry_run(&context, snapshot, sessions, findings).await;
        // Outside of the transaction of the dry run, which an error would abort.
        let session = match sessions.main().await {
            Ok(session) => session,
            Err(error) if dry_run_result.is_some() => return stop(findings, CheckItem::Connection, &error),
            // The finding of the dry run has the error.
            Err(_) => return Err(Stop),
        };
        let available = if missing.is_empty() { vec![] } else { session.available(&missing).await.unwrap_or_default() };
        let removal = |name: &str| target.remove_extension(row, name);
        findings.extend(extensions::extensions(&sources, &extensions, &available, removal));
        for mismatch in extensions::version_mismatches(&sources, &extensions) {
            let targets = match mismatch.older {
                Side::Remote => session.update_targets(mismatch.name).await,
                Side::Repository => self.repository.update_targets(mismatch.name).await,
            };
            findings.push(mismatch.finding(&targets.unwrap_or_default()));
        }
        let grants = match session.missing_grants(&needed).await {
            Ok(grants) => grants,
            Err(error) => return stop(findings, CheckItem::Privileges, &error),
        };
        findings.extend(extensions::privileges(&inspection, &grants));
        if let Some(result) = dry_run_result {
            facts.datasources = Some((result.read.len(), result.read.iter().map(|read| read.rows).sum()));
            facts.databases = Some(result.databases);
            let in_repository: Vec<_> =
                sources.missing_extensions().map(|name| (name.to_owned(), removal(name))).collect();
            let known =
                Known { role: &inspection.role, missing_extensions: &missing, missing_in_repository: &in_repository };
            findings.extend(dry_run::datasources(&result, &known));
            findings.extend(dry_run::databases(&result, &role_limit));
        }
        Ok(())
    }

    /// How to update the side with the older PoWA. If its available versions cannot be read, none is assumed.
    async fn version_cures(
        &self,
        session: &RemoteSession,
        repository: &PowaVersion,
        remote: &PowaVersion,
    ) -> Vec<Cure> {
        if remote.is_older_than(repository) {
            let targets = session.update_targets("powa").await.unwrap_or_default();
            versions::cures(Side::Remote, remote, repository, &targets)
        } else {
            let targets = self.repository.update_targets("powa").await.unwrap_or_default();
            versions::cures(Side::Repository, repository, remote, &targets)
        }
    }

    async fn dry_run(
        &self,
        context: &Snapshot<'_>,
        snapshot: StartedSnapshot,
        sessions: &mut Sessions,
        findings: &mut Findings,
    ) -> Option<DryRun> {
        let limit = self.config.timeouts.snapshot;
        let failure = match timeout(limit, context.dry_run(snapshot, sessions)).await {
            Ok(Ok(dry_run)) => return Some(dry_run),
            Ok(Err(error)) => Finding::new(CheckItem::Datasources, Verdict::Wrong, error.to_string()),
            Err(_) => {
                let error = session::Error::elapsed(Side::Remote, "collect a snapshot", limit);
                Finding::new(CheckItem::Datasources, Verdict::Wrong, error.to_string()).cured_by(
                    CureKind::Configuration,
                    "timeouts.snapshot: increase it if the snapshot has to take this long",
                )
            }
        };
        findings.push(failure);
        sessions.cancel().await;
        None
    }
}

fn invalid_row(server: &RegisteredServer, invalid: &InvalidServer) -> Finding {
    let finding = Finding::new(CheckItem::Registration, Verdict::Wrong, invalid.to_string());
    match set_column(server.id, invalid.column()) {
        Some(change) => finding.cured_by(CureKind::Advice, change),
        None => finding,
    }
}

fn stop(findings: &mut Findings, item: CheckItem, error: &session::Error) -> Result<(), Stop> {
    findings.push(Finding::new(item, Verdict::Wrong, error.to_string()));
    Err(Stop)
}

/// The finding about a snapshot that cannot start.
fn unusable(error: &snapshot::Error) -> Finding {
    // An error of the repository is about this server only: its own check has passed.
    let item = if error.is_of_repository() { CheckItem::Registration } else { CheckItem::Powa };
    let finding = Finding::new(item, Verdict::Wrong, error.to_string());
    match error {
        snapshot::Error::Unusable(_) => finding.cured_by(CureKind::RemoteSql, "create extension powa cascade"),
        _ => finding,
    }
}
