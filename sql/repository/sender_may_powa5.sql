-- No row: the sender has disconnected.
select coalesce(pg_catalog.bool_or(pg_catalog.pg_has_role(a.usesysid, r.oid, 'USAGE')), false) as may, a.usename as role
from pg_catalog.pg_stat_activity a
cross join pg_catalog.pg_roles r
where a.pid = $1
and (r.rolname = 'pg_signal_backend' or r.rolname in (
    select p.rolname
    from {powa}.powa_roles p
    where p.powa_role in ('powa_signal_backend', 'powa_write_all_data', 'powa_admin')))
group by a.pid, a.usename
