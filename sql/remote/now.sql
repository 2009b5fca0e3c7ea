select pg_catalog.now()::text, d.oid::text, d.datname::text, pg_catalog.pg_is_in_recovery()
from pg_catalog.pg_database d
where d.datname = pg_catalog.current_database()
