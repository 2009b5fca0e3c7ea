-- Short limits, so that other sessions hardly wait; the next run retries. row_security off: rows might otherwise be
-- hidden.
select pg_catalog.set_config('lock_timeout', '200ms', true),
    pg_catalog.set_config('statement_timeout', $1, true),
    pg_catalog.set_config('row_security', 'off', true),
    pg_catalog.set_config('application_name', 'PoWA collector - upkeep', true)
