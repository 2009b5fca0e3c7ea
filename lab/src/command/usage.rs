//! Measures CPU time, memory and threads of a process, from proc(5).

use std::time::Duration;

use anyhow::Context;
use lab::Result;
use procfs::process::{Process, Stat, all_processes};

/// What one process uses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// User and system time since it began, of all its threads.
    pub cpu: Duration,
    pub resident_kb: u64,
    /// The most that was ever resident.
    pub peak_kb: u64,
    pub threads: u64,
    pub descriptors: u64,
}

pub(super) fn of_process(pid: u32) -> Result<Usage> {
    let process = process(pid)?;
    let status = process.status().context("reading the status of a process")?;
    let stat = process.stat().context("reading the times of a process")?;
    Ok(Usage {
        cpu: ticks(stat.utime + stat.stime),
        resident_kb: status.vmrss.context("the kernel tells how much memory is resident")?,
        peak_kb: status.vmhwm.context("the kernel tells how much memory was resident")?,
        threads: status.threads,
        descriptors: process.fd_count().context("counting file descriptors")?.try_into().context("counting")?,
    })
}

/// User and system time of a process and of all that it has started: those that are running, and those that have ended.
pub(super) fn cpu_of_family(pid: u32) -> Result<Duration> {
    let head = i32::try_from(pid).context("a process id")?;
    let mut sum = with_children(&process(pid)?.stat().context("reading the times of a process")?);
    for process in all_processes().context("listing processes")? {
        // One that has ended meanwhile counts with its parent the next time.
        if let Some(stat) = process.ok().and_then(|process| process.stat().ok()).filter(|stat| stat.ppid == head) {
            sum += with_children(&stat);
        }
    }
    Ok(sum)
}

fn process(pid: u32) -> Result<Process> {
    let pid = i32::try_from(pid).context("a process id")?;
    Process::new(pid).with_context(|| format!("looking at process {pid}"))
}

fn with_children(stat: &Stat) -> Duration {
    let reaped = (stat.cutime + stat.cstime).max(0);
    ticks(stat.utime + stat.stime + u64::try_from(reaped).expect("it is not below zero"))
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_secs(ticks) / u32::try_from(procfs::ticks_per_second()).expect("a second has few ticks")
}
