-- Who waits for the lock keeps others waiting behind it, but it has to be more than a deadlock_timeout: only then is an
-- autovacuum sent away, which is what a bloated table is never without. With row security on, rows might be hidden.
select pg_catalog.set_config('lock_timeout', '2s', true),
    pg_catalog.set_config('statement_timeout', $1, true),
    pg_catalog.set_config('idle_in_transaction_session_timeout', $2, true),
    pg_catalog.set_config('row_security', 'off', true),
    pg_catalog.set_config('application_name', 'PoWA collector - upkeep', true)
