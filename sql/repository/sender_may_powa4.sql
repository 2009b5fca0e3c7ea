-- No row: the sender has disconnected. PostgreSQL before 14 has no suitable role, so the privilege to write decides.
select case when pg_catalog.current_setting('server_version_num')::integer >= 140000
    then pg_catalog.pg_has_role(a.usesysid, 'pg_signal_backend', 'USAGE')
    else pg_catalog.has_table_privilege(a.usesysid, c.oid, 'INSERT') end as may, a.usename as role
from pg_catalog.pg_stat_activity a
cross join pg_catalog.pg_extension e
join pg_catalog.pg_class c on c.relnamespace = e.extnamespace and c.relname = 'powa_statements'
where a.pid = $1 and e.extname = 'powa'
