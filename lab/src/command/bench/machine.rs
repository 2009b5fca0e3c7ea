//! Describes the machine, the date and the versions of a benchmark.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::process::Command;
use std::thread;

use anyhow::{Context, ensure};
use lab::{Generation, Result};
use procfs::{CpuInfo, Current, Meminfo};
use serde_json::{Value, json};

use super::candidate::Contenders;

/// Goes with the figures: they mean nothing without it.
#[derive(Debug)]
pub(super) struct Machine {
    date: String,
    processor: String,
    cores: usize,
    memory_gb: f64,
    kernel: String,
    ours: String,
    python: String,
    powa: Vec<String>,
}

impl Machine {
    pub(super) fn look(candidates: &Contenders, generations: &[Generation]) -> Result<Machine> {
        let processors = CpuInfo::current().context("looking at the processors")?;
        let memory = Meminfo::current().context("looking at the memory")?.mem_total;
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("asking for the kernel's version")?;
        let powa = generations.iter().map(|generation| {
            format!("PoWA {} on PostgreSQL {}", generation.powa_version(), generation.postgres_major())
        });
        Ok(Machine {
            date: said_by(Command::new("date").args(["--utc", "+%F"]))?,
            processor: processors.model_name(0).unwrap_or("of unknown make").to_owned(),
            cores: thread::available_parallelism().context("counting cores")?.get(),
            memory_gb: memory as f64 / f64::from(1 << 30),
            kernel: kernel.trim().to_owned(),
            ours: candidates.ours.version()?,
            python: candidates.python.version()?,
            powa: powa.collect(),
        })
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "date": self.date, "processor": self.processor, "cores": self.cores, "memory_gb": self.memory_gb,
            "kernel": self.kernel, "ours": self.ours, "python": self.python, "powa": self.powa,
        })
    }
}

/// A sentence of a document.
impl Display for Machine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Machine { date, processor, cores, memory_gb, kernel, ours, python, powa } = self;
        let powa = powa.join(", ");
        writeln!(f, "Measured on {date}: {cores} cores ({processor}), {memory_gb:.1} GB of memory, Linux {kernel};")?;
        writeln!(f, "powa-collector {ours} and the Python collector {python}; {powa}.")
    }
}

/// One line, which a program has for whoever asks.
pub(super) fn said_by(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_told_of_in_a_sentence() {
        let machine = Machine {
            date: "2026-02-03".to_owned(),
            processor: "Abacus 3".to_owned(),
            cores: 4,
            memory_gb: 7.76,
            kernel: "6.1.0".to_owned(),
            ours: "0.1.0".to_owned(),
            python: "1.3.2".to_owned(),
            powa: vec!["PoWA 4.1.4 on PostgreSQL 15".to_owned(), "PoWA 5.0.2 on PostgreSQL 17".to_owned()],
        };
        assert_eq!(
            machine.to_string(),
            "Measured on 2026-02-03: 4 cores (Abacus 3), 7.8 GB of memory, Linux 6.1.0;\n\
             powa-collector 0.1.0 and the Python collector 1.3.2; PoWA 4.1.4 on PostgreSQL 15, PoWA 5.0.2 on PostgreSQL 17.\n"
        );
        assert_eq!(machine.to_json()["cores"], 4);
    }

    #[test]
    fn a_program_that_fails_is_an_error() {
        assert_eq!(said_by(Command::new("echo").arg("well")).unwrap(), "well");
        let error = said_by(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("broken"), "{error}");
    }
}
