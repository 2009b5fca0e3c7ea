-- What a role may do by the HTTP API; null if it may not log in, or may do nothing. No row: there is no such role. Operators
-- are those who may send commands by the command channel.
select case
    when not r.rolcanlogin or r.rolvaliduntil <= pg_catalog.now()
        or not pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CONNECT') then null
    when r.rolsuper or 'powa_admin' = any (h.held) then 'admin'
    when h.held && array['pg_signal_backend', 'powa_signal_backend', 'powa_write_all_data'] then 'operator'
    when h.held && array['powa_read_all_metrics', 'powa_read_all_data'] then 'viewer' end
from pg_catalog.pg_roles r
cross join lateral (
    select array(
        select p.powa_role::text
        from {powa}.powa_roles p
        join pg_catalog.pg_roles g on g.rolname = p.rolname
        where pg_catalog.pg_has_role(r.oid, g.oid, 'USAGE')
        union all
        select 'pg_signal_backend'
        where pg_catalog.pg_has_role(r.oid, 'pg_signal_backend', 'USAGE'))) h (held)
where r.rolname = $1
