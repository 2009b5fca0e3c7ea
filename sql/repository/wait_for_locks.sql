-- In this transaction a lock is waited for as long as a statement may take: a snapshot that is being loaded has it.
select pg_catalog.set_config('lock_timeout', '0', true)
