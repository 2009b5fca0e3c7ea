-- What a role may do by the HTTP API; null if it may not log in, or may do nothing. No row: there is no such role.
select case
    when not r.rolcanlogin or r.rolvaliduntil <= pg_catalog.now()
        or not pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CONNECT') then null
    when pg_catalog.has_table_privilege(r.oid, s.oid, 'INSERT') then 'admin'
    -- As for the command channel: PostgreSQL before 14 has no suitable role.
    when case when pg_catalog.current_setting('server_version_num')::integer >= 140000
        then pg_catalog.pg_has_role(r.oid, 'pg_signal_backend', 'USAGE')
        else pg_catalog.has_table_privilege(r.oid, t.oid, 'INSERT') end then 'operator'
    when pg_catalog.has_table_privilege(r.oid, s.oid, 'SELECT') then 'viewer' end
from pg_catalog.pg_roles r
cross join pg_catalog.pg_extension e
join pg_catalog.pg_class s on s.relnamespace = e.extnamespace and s.relname = 'powa_servers'
join pg_catalog.pg_class t on t.relnamespace = e.extnamespace and t.relname = 'powa_statements'
where e.extname = 'powa' and r.rolname = $1
