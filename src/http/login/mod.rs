//! Who sends a request to the API, and what they may do: by a password of a PostgreSQL role, a token of the API, or a token of
//! `http.tokens_file`.
//!
//! `password` verifies a password, `proofs` remembers that for a moment, `single_flight` verifies the same one once at a time, and
//! `throttle` limits failures. The repository is asked for each request what the role may do, so that what is revoked counts at once.

mod password;
mod proofs;
mod single_flight;
mod throttle;
pub(super) mod token;

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::{sleep_until, timeout};

use super::auth::{Credentials, Tokens};
use super::backend::Backend;
use crate::control::throttle::Throttle;
use crate::repository::ApiRole;
use libpq::Secret;
use password::{NotVerified, is_possible};
use proofs::{ProofKey, Proofs};
use single_flight::{Flight, SingleFlight};
use throttle::{Attempt, LoginThrottle};

/// A login that fails takes at least this long, whatever the reason: the time must not reveal which roles exist.
const FAILURE_DURATION: Duration = Duration::from_millis(500);

/// Logins to the repository at once, beside the sessions of [`Backend`].
const MAX_LOGINS: usize = 4;

/// A verification, and the wait for another one, take at most this many times `timeouts.connect`.
const MAX_ATTEMPTS: u32 = 3;

/// Anybody can cause failed logins: they must not flood the log.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Who has sent a request.
#[derive(Debug)]
pub(super) struct Caller {
    /// A role of PostgreSQL; of a token in `http.tokens_file`, its name.
    pub(super) name: String,
    pub(super) rights: ApiRole,
    pub(super) credential: Credential,
    pub(super) client: SocketAddr,
}

/// How the caller was authenticated.
#[derive(Debug)]
pub(super) enum Credential {
    /// The password of a role.
    Password(Secret),
    /// A token of the API.
    Token { id: i64, name: String },
    /// A token of `http.tokens_file`.
    FileToken,
}

/// Why a request is not accepted.
#[derive(Debug)]
pub(super) enum LoginError {
    /// No valid credentials. One answer for all reasons.
    Unauthorized,
    /// Valid credentials of a role that may do nothing here.
    NoRights {
        role: String,
    },
    TooManyFailures {
        retry_after: Duration,
    },
    /// Too many logins at once, or they take too long.
    Busy,
    Unavailable(session::Error),
    /// OpenSSL has failed.
    Internal,
}

/// The state of logins: failures, and what was verified in the last moments.
pub(super) struct Login {
    throttle: Mutex<LoginThrottle>,
    /// Made with the first login, of which configuration it is.
    proofs: Mutex<Option<(u64, Proofs)>>,
    in_progress: SingleFlight,
    logins: Semaphore,
    log: Throttle,
}

/// What a request is verified with.
pub(super) struct Request<'a> {
    pub(super) backend: &'a Backend,
    /// Of `http.tokens_file`.
    pub(super) tokens: Option<&'a Tokens>,
    pub(super) credentials: Option<Credentials>,
    pub(super) client: SocketAddr,
}

impl Login {
    pub(super) fn new() -> Self {
        Self {
            throttle: Mutex::default(),
            proofs: Mutex::default(),
            in_progress: SingleFlight::default(),
            logins: Semaphore::new(MAX_LOGINS),
            log: Throttle::once_per(LOG_INTERVAL),
        }
    }

    /// Authenticates a request, and reads what its role may do.
    ///
    /// # Errors
    /// Its credentials are not valid or missing, or cannot be verified now.
    pub(super) async fn authenticate(&self, request: Request<'_>) -> Result<Caller, LoginError> {
        let Some(credentials) = &request.credentials else { return Err(LoginError::Unauthorized) };
        if let Some((name, rights)) = request.tokens.and_then(|tokens| tokens.find(credentials)) {
            let (name, client) = (name.to_owned(), request.client);
            return Ok(Caller { name, rights, credential: Credential::FileToken, client });
        }
        match credentials {
            Credentials::Bearer(secret) => self.by_token(&request, secret).await,
            Credentials::Basic { name, password } => self.by_password(&request, (name, password)).await,
        }
    }

    async fn by_password(
        &self,
        request: &Request<'_>,
        (name, password): (&str, &Secret),
    ) -> Result<Caller, LoginError> {
        let started = Instant::now();
        let key = self.proof_key(request.backend, name, password.reveal().as_bytes())?;
        let flight = self.begin_flight(request.backend, key).await?;
        // It may have been verified while this waited.
        if !self.is_verified(&key) {
            // Limited by the name that the repository would see.
            let role = name.get(..name.floor_char_boundary(64)).unwrap_or_default();
            let attempt = self.begin(request.client, Some(role))?;
            match self.verify(request.backend, (name, password)).await {
                Ok(()) => self.succeed(&attempt, key),
                Err(NotVerified::Refused(reason)) => {
                    self.log_refusal(role, request.client, &reason);
                    drop(flight);
                    sleep_until((started + FAILURE_DURATION).into()).await;
                    return Err(LoginError::Unauthorized);
                }
                Err(NotVerified::Busy) => {
                    self.throttle().take_back(&attempt);
                    return Err(LoginError::Busy);
                }
                Err(NotVerified::Unavailable(error)) => {
                    self.throttle().take_back(&attempt);
                    return Err(LoginError::Unavailable(error));
                }
            }
        }
        drop(flight);
        let rights = request.backend.repository.api_rights(name).await.map_err(LoginError::Unavailable)?;
        let rights = rights.ok_or_else(|| LoginError::NoRights { role: name.to_owned() })?;
        let credential = Credential::Password(password.clone());
        Ok(Caller { name: name.to_owned(), rights, credential, client: request.client })
    }

    async fn verify(&self, backend: &Backend, (name, password): (&str, &Secret)) -> Result<(), NotVerified> {
        if !is_possible(name, password) {
            return Err(NotVerified::Refused("it is not a name and a password of PostgreSQL".into()));
        }
        let limit = backend.config.timeouts.connect;
        let Ok(Ok(_permit)) = timeout(limit, self.logins.acquire()).await else { return Err(NotVerified::Busy) };
        // Each address of the repository has a limit of its own.
        let verified = timeout(limit * MAX_ATTEMPTS, password::verify(backend, name, password)).await;
        verified.unwrap_or(Err(NotVerified::Busy))
    }

    /// Waits until nobody else verifies these credentials. `None`: they are verified.
    async fn begin_flight(&self, backend: &Backend, key: ProofKey) -> Result<Option<Flight<'_>>, LoginError> {
        if self.is_verified(&key) {
            return Ok(None);
        }
        let limit = backend.config.timeouts.connect * MAX_ATTEMPTS;
        timeout(limit, self.in_progress.begin(key)).await.map(Some).map_err(|_| LoginError::Busy)
    }

    async fn by_token(&self, request: &Request<'_>, secret: &Secret) -> Result<Caller, LoginError> {
        if !token::is_possible(secret.reveal()) {
            return Err(LoginError::Unauthorized);
        }
        let digest = token::digest(secret.reveal());
        let key = self.proof_key(request.backend, "", &digest)?;
        let flight = self.begin_flight(request.backend, key).await?;
        // One that was valid a moment ago is not delayed by those who guess.
        let attempt = if self.is_verified(&key) { None } else { Some(self.begin(request.client, None)?) };
        let repository = &request.backend.repository;
        let found = match repository.find_token(&digest).await {
            Ok(found) => found,
            Err(error) => {
                attempt.iter().for_each(|attempt| self.throttle().take_back(attempt));
                return Err(LoginError::Unavailable(error));
            }
        };
        let Some(found) = found else {
            self.forget(&key);
            return Err(LoginError::Unauthorized);
        };
        match attempt {
            Some(attempt) => self.succeed(&attempt, key),
            None => self.remember(key),
        }
        drop(flight);
        let rights = repository.api_rights(&found.owner).await.map_err(LoginError::Unavailable)?;
        // A role that is gone or may not log in any more has no tokens.
        let rights = rights.ok_or_else(|| LoginError::NoRights { role: found.owner.clone() })?.min(found.role);
        let credential = Credential::Token { id: found.id, name: found.name };
        Ok(Caller { name: found.owner, rights, credential, client: request.client })
    }

    fn throttle(&self) -> MutexGuard<'_, LoginThrottle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proofs(&self) -> MutexGuard<'_, Option<(u64, Proofs)>> {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, client: SocketAddr, role: Option<&str>) -> Result<Attempt, LoginError> {
        let begun = self.throttle().begin(client.ip(), role, Instant::now());
        begun.map_err(|retry_after| LoginError::TooManyFailures { retry_after })
    }

    fn succeed(&self, attempt: &Attempt, key: ProofKey) {
        self.throttle().take_back(attempt);
        self.remember(key);
    }

    /// Proofs of another repository are no proofs.
    fn proof_key(&self, backend: &Backend, name: &str, secret: &[u8]) -> Result<ProofKey, LoginError> {
        let mut proofs = self.proofs();
        let current = match &mut *proofs {
            Some((number, current)) if *number == backend.number => current,
            other => {
                let new = Proofs::new().map_err(|_| LoginError::Internal)?;
                &mut other.insert((backend.number, new)).1
            }
        };
        current.key(name, secret).map_err(|_| LoginError::Internal)
    }

    fn is_verified(&self, key: &ProofKey) -> bool {
        self.proofs().as_ref().is_some_and(|(_, proofs)| proofs.contains(key, Instant::now()))
    }

    fn remember(&self, key: ProofKey) {
        if let Some((_, proofs)) = &mut *self.proofs() {
            proofs.add(key, Instant::now());
        }
    }

    fn forget(&self, key: &ProofKey) {
        if let Some((_, proofs)) = &mut *self.proofs() {
            proofs.remove(key);
        }
    }

    fn log_refusal(&self, role: &str, client: SocketAddr, reason: &str) {
        match self.log.allow() {
            Some(suppressed) => tracing::warn!(role, %client, reason, unsaid = suppressed, "HTTP login refused"),
            None => tracing::debug!(role, %client, reason, "HTTP login refused"),
        }
    }
}

impl Caller {
    /// The name of the token in the audit log, if there is one.
    pub(super) fn token_name(&self) -> Option<String> {
        match &self.credential {
            Credential::Password(_) => None,
            Credential::Token { name, .. } => Some(name.clone()),
            Credential::FileToken => Some(format!("{} (http.tokens_file)", self.name)),
        }
    }

    /// The name and the password, if the request had one.
    pub(super) fn password(&self) -> Option<(&str, &Secret)> {
        match &self.credential {
            Credential::Password(password) => Some((&self.name, password)),
            _ => None,
        }
    }
}
