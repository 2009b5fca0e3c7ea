//! Compares the collector with the Python one, on the same servers, one after the other, in one run.
//!
//! `candidate` runs either of them, `fixture` is the servers, a `case` measures one thing, and its result is a `figure`
//! in the `table`. `force` requests a snapshot and waits until it is stored; a `window` measures a period.

mod candidate;
mod case;
mod figure;
mod fixture;
mod force;
mod line;
mod machine;
mod median;
mod picture;
mod table;
mod window;

use std::path::{Path, PathBuf};

use anyhow::Context;
use lab::{Generation, Result};

use self::candidate::{Candidate, Contenders};
pub(crate) use self::case::Case;
use self::figure::Figure;
use self::machine::Machine;
use crate::print::print_line;

/// A comparison.
pub(crate) struct Bench<'a> {
    pub generations: &'a [Generation],
    pub collector: &'a Path,
    /// The program of the Python collector, by its shebang line.
    pub python: &'a Path,
    /// All but those that take long, if there is none.
    pub cases: &'a [Case],
    /// The number of measurements for a median.
    pub rounds: usize,
    /// Where to write the figures as JSON.
    pub json: Option<&'a Path>,
    /// A document whose table is replaced by the one of this run.
    pub record: Option<&'a Path>,
    /// Where to draw the growth.
    pub picture: Option<&'a Path>,
}

/// The environment of a case.
pub(crate) struct Setting<'a> {
    generation: &'a Generation,
    candidates: &'a Contenders,
    /// The directory for the candidates' files.
    directory: PathBuf,
    rounds: usize,
    picture: Option<&'a Path>,
}

impl Bench<'_> {
    pub(crate) fn run(&self) -> Result<()> {
        let candidates = Contenders { ours: Candidate::ours(self.collector)?, python: Candidate::python(self.python)? };
        let machine = Machine::look(&candidates, self.generations)?;
        let cases = if self.cases.is_empty() { Case::most() } else { self.cases.to_owned() };
        let directory = tempfile::Builder::new().prefix("lab-bench-").tempdir().context("making a directory")?;
        let mut figures: Vec<Figure> = Vec::new();
        for case in cases {
            for generation in self.generations.iter().filter(|generation| case.is_of(generation)) {
                eprintln!("{} on PoWA {} ...", case.name(), generation.powa_version());
                let directory = directory.path().join(format!("{}-{}", case.name(), generation.powa_version()));
                let (rounds, picture) = (self.rounds, self.picture);
                let setting = Setting { generation, candidates: &candidates, directory, rounds, picture };
                let measured = case.measure(&setting);
                figures.extend(measured.with_context(|| format!("measuring {}", case.name()))?);
            }
        }
        print_line!("{machine}\n{}", table::print(&figures));
        if let Some(file) = self.json {
            table::write_json(&machine, &figures, file)?;
        }
        if let Some(document) = self.record {
            table::record(&machine, &figures, document)?;
        }
        Ok(())
    }
}
