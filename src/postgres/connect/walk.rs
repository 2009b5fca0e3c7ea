//! One host after the other, one address after the other, until a server is fit.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::fitness::{Standing, Unfit, Wanted};
use super::hosts::Host;
use super::login::{LoggedIn, Login};
use super::source::Found;
use super::{Endpoint, Line, Opened, Place};
use crate::libpq::Parameters;
use crate::postgres::progress::Progress;
use crate::postgres::socket::Peer;
use crate::postgres::{Error, session};

/// Nobody was fit: what became of each.
pub(super) struct Fruitless {
    pub(super) error: Error,
    /// One does not let us in, and neither would another.
    pub(super) is_refused: bool,
}

/// For one kind of server.
pub(super) struct Walk<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) parameters: &'a Parameters,
    /// One for each host.
    pub(super) passwords: &'a [Found],
    pub(super) wanted: Wanted,
}

impl Walk<'_> {
    /// A session with the first that is fit.
    pub(super) async fn first_that_fits(&self) -> Result<Opened, Fruitless> {
        let mut tried = Vec::new();
        let listed = match &self.endpoint.only {
            Some(place) => std::slice::from_ref(&place.host),
            None => &self.parameters.hosts,
        };
        for host in self.endpoint.hosts.in_order(listed, self.parameters.load_balance) {
            let name = if self.parameters.hosts.len() > 1 { host.to_string() } else { String::new() };
            let at = listed.iter().position(|listed| *listed == host.listed);
            let peers = match self.peers(&host).await {
                Ok(peers) => peers,
                Err(error) => {
                    host.failed();
                    tried.push(((at, String::new()), error.at(&name)));
                    continue;
                }
            };
            for peer in peers {
                let address = peer.to_string();
                match self.open_at(Place { host: host.listed.clone(), peer: peer.clone() }).await {
                    Ok(opened) => {
                        host.succeeded_at(&peer);
                        return Ok(opened);
                    }
                    Err(error) if error.is_refused_login() => {
                        tried.push(((at, address), error.at(&name)));
                        return Err(self.fruitless(tried, true));
                    }
                    Err(error) => tried.push(((at, address), error.at(&name))),
                }
            }
            host.failed();
        }
        Err(self.fruitless(tried, false))
    }

    /// In the order of the list, so that the same reasons are told in the same words in whatever order they were met.
    fn fruitless(&self, mut tried: Vec<((Option<usize>, String), Error)>, is_refused: bool) -> Fruitless {
        tried.sort_by(|(a, _), (b, _)| a.cmp(b));
        let tried = tried.into_iter().map(|(_, error)| error).collect();
        Fruitless { error: Error::all_of(self.endpoint.side, self.endpoint.connecting(), tried), is_refused }
    }

    /// The addresses of all hosts.
    pub(super) async fn addresses(&self) -> Result<Vec<Peer>, Error> {
        let (mut found, mut failed) = (Vec::new(), Vec::new());
        for host in self.endpoint.hosts.in_order(&self.parameters.hosts, false) {
            match self.peers(&host).await {
                Ok(peers) => found.extend(peers),
                Err(error) => failed.push(error),
            }
        }
        match found.is_empty() {
            true => Err(Error::all_of(self.endpoint.side, self.endpoint.connecting(), failed)),
            false => Ok(found),
        }
    }

    async fn peers(&self, host: &Host) -> Result<Vec<Peer>, Error> {
        match &self.endpoint.only {
            Some(place) => Ok(vec![place.peer.clone()]),
            None => self.resolve(host).await,
        }
    }

    async fn resolve(&self, host: &Host) -> Result<Vec<Peer>, Error> {
        let (side, connecting) = (self.endpoint.side, self.endpoint.connecting());
        match timeout(self.limit(), host.peers(self.parameters.load_balance)).await {
            Ok(peers) => peers.map_err(|error| Error::network(side, connecting, error)),
            Err(_) => {
                let reason = format!("its name was not resolved within {} s", self.limit().as_secs());
                Err(Error::unresolved(side, connecting, reason))
            }
        }
    }

    async fn open_at(&self, place: Place) -> Result<Opened, Error> {
        let endpoint = self.endpoint;
        let at = self.parameters.hosts.iter().position(|listed| *listed == place.host);
        let found = at.and_then(|at| self.passwords.get(at)).cloned().unwrap_or_default();
        let login = Login {
            side: endpoint.side,
            doing: endpoint.connecting(),
            parameters: self.parameters,
            application_name: &endpoint.application_name,
            password: found.password.as_ref(),
            password_file: found.file,
            place: &place,
            files: &endpoint.files,
            connectors: &endpoint.connectors,
        };
        let progress = Progress::default();
        let opening = async {
            let LoggedIn { client, mut line, route } = login.log_in(&progress).await?;
            let setting_up = async {
                tokio::try_join!(
                    biased;
                    session::pin(&client, endpoint.side, endpoint.timeouts),
                    self.standing(&client),
                )
            };
            let (set_up_for, standing) = meanwhile(&mut line, setting_up).await.map_err(|error| {
                Error::new(endpoint.side, endpoint.connecting(), error).at(&progress.told_beside(&place.host.name))
            })?;
            self.must_be_fit(standing).map_err(|error| error.at(&progress.told_beside(&place.host.name)))?;
            Ok(Opened { client, line, route, set_up_for })
        };
        let limit = self.limit();
        timeout(limit, opening).await.unwrap_or_else(|_| {
            let error = if progress.is_reading() {
                let reason = format!("its certificates were not read within {} s", limit.as_secs());
                Error::no_session(endpoint.side, endpoint.connecting(), reason)
            } else {
                Error::elapsed(endpoint.side, endpoint.connecting(), limit)
            };
            Err(error.at(&progress.told_beside(&place.host.name)))
        })
    }

    /// What a server says of itself comes in the same round trip as the answer to what is pinned.
    async fn standing(&self, client: &Client) -> Result<Standing, tokio_postgres::Error> {
        if self.wanted.takes_any() {
            return Ok(Standing::default());
        }
        let rows = client.query_typed(include_str!("../../../sql/standing.sql"), &[]).await?;
        let Some(row) = rows.first() else { return Ok(Standing::default()) };
        Ok(Standing { is_standby: row.try_get(0)?, is_read_only: row.try_get(1)? })
    }

    fn must_be_fit(&self, standing: Standing) -> Result<(), Error> {
        let (side, connecting) = (self.endpoint.side, self.endpoint.connecting());
        match self.wanted.objection(standing) {
            None => Ok(()),
            Some(Unfit::Role(reason)) => Err(Error::no_session(side, connecting, reason)),
            Some(Unfit::Setting(reason)) => Err(Error::barred(side, connecting, reason)),
        }
    }

    /// The time for each address.
    fn limit(&self) -> Duration {
        self.parameters.connect_timeout.unwrap_or(self.endpoint.timeouts.connect)
    }
}

/// Does work in a session whose line nobody drives yet.
async fn meanwhile<T>(
    line: &mut Line,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => done,
        // What the server said last tells more than that it has gone.
        ended = line => match (work.now_or_never(), ended) {
            (Some(done), _) => done,
            (None, Err(error)) => Err(error),
            (None, Ok(())) => unreachable!("a line does not end in peace before its client"),
        },
    }
}
