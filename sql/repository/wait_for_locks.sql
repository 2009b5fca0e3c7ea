-- No lock_timeout in this transaction: a running load may hold the lock. statement_timeout still applies.
select pg_catalog.set_config('lock_timeout', '0', true)
