-- Any client can set this name: it is displayed, and not used for decisions.
select a.application_name, pg_catalog.host(a.client_addr),
    extract(epoch from pg_catalog.clock_timestamp() - a.backend_start)::float8, a.pid, a.usename::text
from pg_catalog.pg_stat_activity a
where a.datname = pg_catalog.current_database() and a.pid <> pg_catalog.pg_backend_pid()
and pg_catalog.left(a.application_name, pg_catalog.length($1)) = $1
order by a.backend_start
