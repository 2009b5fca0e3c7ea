-- The roles that can do something by the HTTP API, after a name ($1), at most $2; only the one that is named $3, unless that is
-- null. PoWA 4 has no roles of its own.
select u.name, u.role, u.can_login, u.is_superuser, u.name = current_user as is_collector, u.valid_until, array[]::text[] as powa_roles
from (
    select r.rolname::text as name, r.rolcanlogin as can_login, r.rolsuper as is_superuser,
        case when pg_catalog.isfinite(r.rolvaliduntil) then r.rolvaliduntil end as valid_until,
        case
            when pg_catalog.has_table_privilege(r.oid, s.oid, 'INSERT') then 'admin'
            when case when pg_catalog.current_setting('server_version_num')::integer >= 140000
                then pg_catalog.pg_has_role(r.oid, 'pg_signal_backend', 'USAGE')
                else pg_catalog.has_table_privilege(r.oid, t.oid, 'INSERT') end then 'operator'
            when pg_catalog.has_table_privilege(r.oid, s.oid, 'SELECT') then 'viewer' end as role
    from pg_catalog.pg_roles r
    cross join pg_catalog.pg_extension e
    join pg_catalog.pg_class s on s.relnamespace = e.extnamespace and s.relname = 'powa_servers'
    join pg_catalog.pg_class t on t.relnamespace = e.extnamespace and t.relname = 'powa_statements'
    where e.extname = 'powa' and r.rolcanlogin) u
where u.role is not null and u.name > $1 and ($3::text is null or u.name = $3)
order by u.name
limit $2
