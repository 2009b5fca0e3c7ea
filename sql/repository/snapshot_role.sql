-- The role that PoWA 5 grants the privileges for snapshots, if it exists and the current role can become a member that
-- inherits them. powa_roles has its name, but only members may read that, so it is recognized by its privileges: it may
-- write what is collected, and may not register servers.
with granted as (
    select c.relname, acl.grantee
    from pg_catalog.pg_extension e
    join pg_catalog.pg_class c on c.relnamespace = e.extnamespace
    cross join pg_catalog.aclexplode(c.relacl) acl
    where e.extname = 'powa' and c.relname in ('powa_statements_src_tmp', 'powa_servers') and acl.privilege_type = 'INSERT')
select r.rolname::text
from pg_catalog.pg_roles r
where r.oid in (select grantee from granted where relname = 'powa_statements_src_tmp')
and r.oid not in (select grantee from granted where relname = 'powa_servers')
and not r.rolcanlogin
and not pg_catalog.pg_has_role(r.oid, 'member')
and (select me.rolinherit from pg_catalog.pg_roles me where me.rolname = current_user)
order by r.rolname <> 'powa_snapshot', r.rolname
limit 1
