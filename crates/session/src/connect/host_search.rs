//! Tries each address of each host in turn until a server is usable.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::hosts::Host;
use super::login::{LoggedIn, Login};
use super::session_attrs::{Mismatch, Requirement, ServerState};
use super::source::FoundPassword;
use super::{Address, Connection, Endpoint, Opened};
use crate::progress::Progress;
use crate::socket::Peer;
use crate::{Error, Stage, settings};
use libpq::{Parameters, host_name_error, suspected_port};

/// No server was usable; the error has the reason for each.
pub(crate) struct NoUsableHost {
    pub(crate) error: Error,
    /// A server refused the login; other hosts would refuse it too.
    pub(crate) is_refused: bool,
}

/// A search for a server that meets one set of requirements.
pub(crate) struct HostSearch<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) parameters: &'a Parameters,
    /// One for each host.
    pub(crate) passwords: &'a [FoundPassword],
    pub(crate) requirement: Requirement,
}

impl HostSearch<'_> {
    /// Opens a session with the first usable server.
    pub(crate) async fn first_usable(&self) -> Result<Opened, NoUsableHost> {
        let mut tried = Vec::new();
        let listed = match &self.endpoint.fixed_address {
            Some(address) => std::slice::from_ref(&address.host),
            None => &self.parameters.hosts,
        };
        for host in self.endpoint.hosts.in_order(listed, self.parameters.load_balance) {
            let name = if self.parameters.hosts.len() > 1 { host.to_string() } else { String::new() };
            let at = listed.iter().position(|listed| *listed == host.listed);
            let peers = match self.peers(&host).await {
                Ok(peers) => peers,
                Err(error) => {
                    host.mark_failed();
                    tried.push(((at, String::new()), error.with_context(&name)));
                    continue;
                }
            };
            for peer in peers {
                let address = peer.to_string();
                match self.open_at(Address { host: host.listed.clone(), peer: peer.clone() }).await {
                    Ok(opened) => {
                        host.mark_succeeded(&peer);
                        return Ok(opened);
                    }
                    Err(error) if error.is_refused_login() => {
                        tried.push(((at, address), error.with_context(&name)));
                        return Err(self.failure(tried, true));
                    }
                    Err(error) => {
                        let is_unreached = error.stage() == Stage::Reach && error.sqlstate().is_none();
                        let error = match suspected_port(&host.listed.name).filter(|_| is_unreached) {
                            Some(meant) => error.with_host_hint(meant),
                            None => error,
                        };
                        tried.push(((at, address), error.with_context(&name)));
                    }
                }
            }
            host.mark_failed();
        }
        Err(self.failure(tried, false))
    }

    /// The errors in the order of the list, so that the message is the same in whatever order hosts were tried.
    fn failure(&self, mut tried: Vec<((Option<usize>, String), Error)>, is_refused: bool) -> NoUsableHost {
        tried.sort_by(|(a, _), (b, _)| a.cmp(b));
        let tried = tried.into_iter().map(|(_, error)| error).collect();
        NoUsableHost { error: Error::all_of(self.endpoint.side, self.endpoint.connect_action(), tried), is_refused }
    }

    /// The addresses of all hosts.
    pub(crate) async fn addresses(&self) -> Result<Vec<Peer>, Error> {
        let (mut found, mut failed) = (Vec::new(), Vec::new());
        for host in self.endpoint.hosts.in_order(&self.parameters.hosts, false) {
            match self.peers(&host).await {
                Ok(peers) => found.extend(peers),
                Err(error) => failed.push(error),
            }
        }
        match found.is_empty() {
            true => Err(Error::all_of(self.endpoint.side, self.endpoint.connect_action(), failed)),
            false => Ok(found),
        }
    }

    async fn peers(&self, host: &Host) -> Result<Vec<Peer>, Error> {
        match &self.endpoint.fixed_address {
            Some(address) => Ok(vec![address.peer.clone()]),
            None => self.resolve(host).await,
        }
    }

    async fn resolve(&self, host: &Host) -> Result<Vec<Peer>, Error> {
        let (side, action) = (self.endpoint.side, self.endpoint.connect_action());
        match timeout(self.limit(), host.peers(self.parameters.load_balance)).await {
            Ok(peers) => peers.map_err(|error| {
                let error = Error::network(side, action, error);
                match host_name_error(&host.listed.name) {
                    Some(reason) => error.with_host_hint(reason),
                    None => error,
                }
            }),
            Err(_) => {
                let reason = format!("the host name was not resolved within {} s", self.limit().as_secs());
                Err(Error::name_timeout(side, action, reason))
            }
        }
    }

    async fn open_at(&self, address: Address) -> Result<Opened, Error> {
        let endpoint = self.endpoint;
        let at = self.parameters.hosts.iter().position(|listed| *listed == address.host);
        let found = at.and_then(|at| self.passwords.get(at)).cloned().unwrap_or_default();
        let login = Login {
            side: endpoint.side,
            action: endpoint.connect_action(),
            parameters: self.parameters,
            application_name: &endpoint.application_name,
            password: found.password.as_ref(),
            password_file: found.file,
            address: &address,
            file_threads: &endpoint.file_threads,
            connectors: &endpoint.connectors,
        };
        let progress = Progress::default();
        let opening = async {
            let LoggedIn { client, mut connection, route } = login.log_in(&progress).await?;
            let setting_up = async {
                tokio::try_join!(
                    biased;
                    settings::pin(&client, endpoint.timeouts),
                    self.server_state(&client),
                )
            };
            let (extensions, server_state) = drive_while(&mut connection, setting_up).await.map_err(|error| {
                Error::new(endpoint.side, endpoint.connect_action(), error)
                    .with_context(&progress.context_besides(&address.host.name))
            })?;
            self.check_state(server_state)
                .map_err(|error| error.with_context(&progress.context_besides(&address.host.name)))?;
            Ok(Opened { client, connection, route, extensions })
        };
        let limit = self.limit();
        timeout(limit, opening).await.unwrap_or_else(|_| {
            let error = if progress.is_reading() {
                let reason = format!("the certificate files were not read within {} s", limit.as_secs());
                Error::no_session(endpoint.side, endpoint.connect_action(), reason)
            } else {
                Error::elapsed(endpoint.side, endpoint.connect_action(), limit)
            };
            Err(error.with_context(&progress.context_besides(&address.host.name)))
        })
    }

    /// Read in the same round trip in which the settings are pinned.
    async fn server_state(&self, client: &Client) -> Result<ServerState, tokio_postgres::Error> {
        if self.requirement.accepts_any() {
            return Ok(ServerState::default());
        }
        let rows = client.query_typed(include_str!("../../../../sql/server_state.sql"), &[]).await?;
        let Some(row) = rows.first() else { return Ok(ServerState::default()) };
        Ok(ServerState { is_standby: row.try_get(0)?, is_read_only: row.try_get(1)? })
    }

    fn check_state(&self, server_state: ServerState) -> Result<(), Error> {
        let (side, action) = (self.endpoint.side, self.endpoint.connect_action());
        match self.requirement.mismatch(server_state) {
            None => Ok(()),
            Some(Mismatch::Role(reason)) => Err(Error::no_session(side, action, reason)),
            Some(Mismatch::Setting(reason)) => Err(Error::refused(side, action, reason)),
        }
    }

    /// The time limit for each address.
    fn limit(&self) -> Duration {
        self.parameters.connect_timeout.unwrap_or(self.endpoint.timeouts.connect)
    }
}

/// Runs `work` on a connection that has no driver task yet.
async fn drive_while<T>(
    connection: &mut Connection,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => done,
        // The server's last message says more than the lost connection.
        ended = connection => match (work.now_or_never(), ended) {
            (Some(done), _) => done,
            (None, Err(error)) => Err(error),
            (None, Ok(())) => unreachable!("a connection does not end without an error before its client"),
        },
    }
}
