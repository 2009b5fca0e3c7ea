//! The settings of the lab's servers.

use std::fmt::Write;

/// Who may connect, and how: members of the role `password_required` have to show a password, others don't.
pub(crate) const HOST_BASED_AUTHENTICATION: &str = "\
host all +password_required 127.0.0.0/8 scram-sha-256
host all all 127.0.0.0/8 trust
host replication all 127.0.0.1/32 trust
";

const SETTINGS: [(&str, &str); 26] = [
    ("listen_addresses", "127.0.0.1"),
    // A socket's path may have 107 bytes: not sure in a deep temporary directory, and not needed.
    ("unix_socket_directories", ""),
    ("max_connections", "200"),
    ("shared_buffers", "32MB"),
    // Not POSIX: a prepared suite has no /dev/shm.
    ("dynamic_shared_memory_type", "mmap"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_line_prefix", "%m [%p] %q%a@%d "),
    // Not powa: its background worker would take snapshots of its own.
    ("shared_preload_libraries", "pg_stat_statements,pg_stat_kcache,pg_qualstats,pg_wait_sampling"),
    ("pg_qualstats.sample_rate", "1"),
    // Every 10 ms, as it comes, is a third of what an idle server costs.
    ("pg_wait_sampling.history_period", "50"),
    ("pg_wait_sampling.profile_period", "50"),
    ("compute_query_id", "on"),
    ("track_functions", "all"),
    ("track_io_timing", "on"),
    ("jit", "off"),
    // The data don't outlive the process.
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("checkpoint_timeout", "1h"),
    // The data may be in memory.
    ("min_wal_size", "8MB"),
    ("max_wal_size", "64MB"),
    // How soon a standby looks again for a primary that was restarted.
    ("wal_retrieve_retry_interval", "200ms"),
    ("autovacuum_naptime", "10s"),
];

/// The text to append to the `postgresql.conf` of a major version of PostgreSQL; of a setting that is there twice, the last
/// one counts.
pub(crate) fn of_laboratory(postgres_major: u32) -> String {
    // Processes that read for others have nothing to do where all is in memory.
    let io: &[_] = if postgres_major >= 18 { &[("io_method", "sync")] } else { &[] };
    format!("\n{}{}", lines(&SETTINGS), lines(io))
}

/// Settings as lines of `postgresql.conf`.
pub(crate) fn lines(settings: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in settings {
        let value = value.replace('\'', "''");
        writeln!(text, "{name} = '{value}'").expect("writing to a string succeeds");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_quoted() {
        assert_eq!(
            lines(&[("fsync", "on"), ("log_line_prefix", "it's ")]),
            "fsync = 'on'\nlog_line_prefix = 'it''s '\n"
        );
    }

    #[test]
    fn what_an_old_version_does_not_know_is_left_out() {
        assert!(!of_laboratory(17).contains("io_method"));
        assert!(of_laboratory(18).ends_with("io_method = 'sync'\n"));
    }
}
