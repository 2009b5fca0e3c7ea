-- Other sessions queue behind a waiting lock request. It must still wait longer than deadlock_timeout: only then is an
-- autovacuum cancelled, which a bloated table always has. row_security off: rows might otherwise be hidden.
select pg_catalog.set_config('lock_timeout', '2s', true),
    pg_catalog.set_config('statement_timeout', $1, true),
    pg_catalog.set_config('idle_in_transaction_session_timeout', $2, true),
    pg_catalog.set_config('row_security', 'off', true),
    pg_catalog.set_config('application_name', 'PoWA collector - upkeep', true)
