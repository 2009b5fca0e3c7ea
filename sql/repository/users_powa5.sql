-- The roles that can do something by the HTTP API, or could if they might log in, after a name ($1), at most $2; only the one
-- that is named $3, unless that is null. PoWA's own roles are not among them.
select u.name, u.role, u.can_login, u.is_superuser, u.name = current_user as is_collector, u.valid_until, u.powa_roles
from (
    select r.rolname::text as name, r.rolcanlogin as can_login, r.rolsuper as is_superuser,
        case when pg_catalog.isfinite(r.rolvaliduntil) then r.rolvaliduntil end as valid_until,
        case
            when r.rolsuper or 'powa_admin' = any (h.held) then 'admin'
            when h.held && array['pg_signal_backend', 'powa_signal_backend', 'powa_write_all_data'] then 'operator'
            when h.held && array['powa_read_all_metrics', 'powa_read_all_data'] then 'viewer' end as role,
        array(
            select p.powa_role::text
            from {powa}.powa_roles p
            join pg_catalog.pg_roles g on g.rolname = p.rolname
            join pg_catalog.pg_auth_members m on m.roleid = g.oid and m.member = r.oid
            group by p.powa_role
            order by p.powa_role::text) as powa_roles
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
    where (r.rolcanlogin or exists (select from pg_catalog.pg_auth_members m where m.member = r.oid))
    and r.rolname !~ '^pg_' and not exists (select from {powa}.powa_roles p where p.rolname = r.rolname)) u
where u.role is not null and u.name > $1 and ($3::text is null or u.name = $3)
order by u.name
limit $2
