-- The name is set by whoever connects: what it says is shown, and nothing is decided by it.
select a.application_name, pg_catalog.host(a.client_addr),
    extract(epoch from pg_catalog.clock_timestamp() - a.backend_start)::float8
from pg_catalog.pg_stat_activity a
where a.datname = pg_catalog.current_database() and a.pid <> pg_catalog.pg_backend_pid()
and pg_catalog.left(a.application_name, pg_catalog.length($1)) = $1
order by a.backend_start
