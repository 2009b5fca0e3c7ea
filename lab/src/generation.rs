//! Lists the pairs of PostgreSQL and PoWA that this machine can run.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::seed::Seed;
use crate::suite::Suite;
use crate::version::Version;

/// What has to be there of each; hypopg is never created here, but PoWA notices that it is available.
const EXTENSIONS: [&str; 6] =
    ["powa", "pg_qualstats", "pg_stat_kcache", "pg_wait_sampling", "pg_track_settings", "hypopg"];

/// One PostgreSQL major version with the PoWA version that belongs to it, ready to run on this machine.
#[derive(Clone, Debug)]
pub struct Generation {
    powa: Version,
    postgres_major: u32,
    root: Option<PathBuf>,
    /// Shared by all clones; made for the first cluster.
    seed: Arc<Mutex<Option<Arc<Seed>>>>,
}

impl Generation {
    /// Lists what the host has installed and what was prepared with [`prepare`](crate::prepare), oldest PoWA
    /// first. A version that the host has is not listed a second time from a prepared directory.
    ///
    /// # Errors
    /// A control file that can't be read or names no version.
    pub fn available() -> Result<Vec<Generation>> {
        let mut found = Generation::installed_under(None)?;
        for suite in Suite::ALL {
            if let Some(root) = suite.prepared_root() {
                found.extend(Generation::installed_under(Some(&root))?);
            }
        }
        // Stable: of equal versions, the host's stays in front, and is the one kept.
        found.sort_by(|a, b| a.powa.cmp(&b.powa));
        found.dedup_by(|a, b| a.powa == b.powa);
        Ok(found)
    }

    /// Picks the newest available generation, or the newest one of `powa`, which may be short: `5` or `5.0`.
    ///
    /// # Errors
    /// No such generation; the message tells which there are, and how to get others.
    pub fn find(powa: Option<&str>) -> Result<Generation> {
        let available = Generation::available()?;
        let wanted = powa
            .map(|text| Version::parse(text).with_context(|| format!("{text} is not a version of PoWA")))
            .transpose()?;
        let labels: Vec<_> = available.iter().map(Generation::label).collect();
        let newest = available
            .into_iter()
            .rfind(|generation| wanted.as_ref().is_none_or(|wanted| generation.powa.is_one_of(wanted)));
        let Some(generation) = newest else {
            bail!(
                "no PoWA {} on this machine (there is: {}); `cargo run -p lab -- prepare trixie` gets one",
                powa.unwrap_or("at all"),
                if labels.is_empty() { "none".to_owned() } else { labels.join(", ") },
            );
        };
        Ok(generation)
    }

    /// Lists what is installed under `root`, where nothing means the host itself.
    pub(crate) fn installed_under(root: Option<&Path>) -> Result<Vec<Generation>> {
        let top = root.unwrap_or(Path::new("/"));
        let Ok(majors) = std::fs::read_dir(top.join("usr/lib/postgresql")) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for major in majors {
            let major = major.context("listing the installed versions of PostgreSQL")?.file_name();
            let Some(postgres_major) = major.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let server = top.join(format!("usr/lib/postgresql/{postgres_major}/bin/postgres"));
            let extensions = top.join(format!("usr/share/postgresql/{postgres_major}/extension"));
            let control = |extension: &str| extensions.join(format!("{extension}.control"));
            if server.exists() && EXTENSIONS.iter().all(|extension| control(extension).exists()) {
                found.push(Generation {
                    powa: Version::from_control_file(&control("powa"))?,
                    postgres_major,
                    root: root.map(Path::to_owned),
                    seed: Arc::default(),
                });
            }
        }
        Ok(found)
    }

    /// What its clusters are copied from.
    pub(crate) fn seed(&self) -> Result<Arc<Seed>> {
        // Whoever panicked meanwhile has left none, and the next one makes it.
        let mut seed = self.seed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*seed {
            return Ok(Arc::clone(made));
        }
        Ok(Arc::clone(seed.insert(Arc::new(Seed::of(self)?))))
    }

    /// The full version of PoWA: `5.0.2`.
    pub fn powa_version(&self) -> &str {
        self.powa.as_str()
    }

    /// The first number of PoWA's version: 4 or 5.
    pub fn powa_major(&self) -> u32 {
        self.powa.major()
    }

    /// The major version of PostgreSQL: 17.
    pub fn postgres_major(&self) -> u32 {
        self.postgres_major
    }

    /// A name for test reports and directories: `powa-5.0.2`.
    pub fn label(&self) -> String {
        format!("powa-{}", self.powa_version())
    }

    /// The directory of the prepared suite that this generation runs from; nothing when it is the host's own.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }
}
