//! Remembers for a moment that a name and a password were verified, so that a client with many requests does not open a session
//! for each. Neither is kept: the key is a MAC with a key of this process.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;

/// For this long a changed or revoked password is still accepted. What its role may do is read for each request.
const LIFETIME: Duration = Duration::from_secs(30);

const MAX_PROOFS: usize = 1024;

/// What stands for a name and a password, or for a token.
pub(super) type ProofKey = [u8; 32];

/// The proofs of the last moments.
pub(super) struct Proofs {
    key: PKey<Private>,
    verified: HashMap<ProofKey, Instant>,
}

impl Proofs {
    /// Those of nobody, with a new random key.
    ///
    /// # Errors
    /// There are no random numbers.
    pub(super) fn new() -> Result<Self, ErrorStack> {
        let mut key = [0; 32];
        openssl::rand::rand_bytes(&mut key)?;
        Ok(Self { key: PKey::hmac(&key)?, verified: HashMap::new() })
    }

    /// The key of a name and a secret.
    ///
    /// # Errors
    /// OpenSSL has failed.
    pub(super) fn key(&self, name: &str, secret: &[u8]) -> Result<ProofKey, ErrorStack> {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key)?;
        // The length separates the two.
        signer.update(&(name.len() as u64).to_be_bytes())?;
        signer.update(name.as_bytes())?;
        signer.update(secret)?;
        let mut key = [0; 32];
        signer.sign(&mut key)?;
        Ok(key)
    }

    /// Whether it was verified within the last half a minute.
    pub(super) fn contains(&self, key: &ProofKey, now: Instant) -> bool {
        self.verified.get(key).is_some_and(|since| now.duration_since(*since) < LIFETIME)
    }

    pub(super) fn add(&mut self, key: ProofKey, now: Instant) {
        self.verified.retain(|_, since| now.duration_since(*since) < LIFETIME);
        if self.verified.len() >= MAX_PROOFS
            && let Some(oldest) = self.verified.iter().min_by_key(|(_, since)| **since).map(|(key, _)| *key)
        {
            self.verified.remove(&oldest);
        }
        self.verified.insert(key, now);
    }

    /// What was verified turned out to be no longer valid.
    pub(super) fn remove(&mut self, key: &ProofKey) {
        self.verified.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_half_a_minute_and_for_itself_only() {
        let (mut proofs, now) = (Proofs::new().unwrap(), Instant::now());
        let key = |proofs: &Proofs, name: &str, secret: &str| proofs.key(name, secret.as_bytes()).unwrap();
        let known = key(&proofs, "ada", "secret");
        proofs.add(known, now);
        assert!(proofs.contains(&known, now + LIFETIME / 2) && !proofs.contains(&known, now + LIFETIME));
        for (name, secret) in [("ada", "secreT"), ("adas", "ecret"), ("ad", "asecret"), ("bob", "secret"), ("", "")] {
            assert!(!proofs.contains(&key(&proofs, name, secret), now), "{name} {secret}");
        }
        assert_ne!(key(&Proofs::new().unwrap(), "ada", "secret"), known, "another process has another key");
        proofs.remove(&known);
        assert!(!proofs.contains(&known, now));
    }

    #[test]
    fn the_oldest_of_too_many_is_forgotten() {
        let (mut proofs, now) = (Proofs::new().unwrap(), Instant::now());
        let later = |n: u32| now + Duration::from_millis(n.into());
        let key = |n: u32| std::array::from_fn(|at| if at < 4 { n.to_be_bytes()[at] } else { 0 });
        let all = u32::try_from(MAX_PROOFS).unwrap() + 1;
        (0..all).for_each(|n| proofs.add(key(n), later(n)));
        assert_eq!(proofs.verified.len(), MAX_PROOFS);
        assert!(!proofs.contains(&key(0), later(all)) && proofs.contains(&key(1), later(all)));
    }
}
