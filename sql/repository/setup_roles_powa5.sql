-- The roles that need privileges on the collector's own schema, each with what it does: 'store' (snapshots), 'serve' (the HTTP
-- API), 'operate' (schedules and tags) or 'read'. Who may write tokens could act as anybody, so only roles that were named ($1)
-- serve. Superusers and the current role, which owns the schema, need none.
with acl as (
    select c.relname, a.grantee, a.privilege_type
    from pg_catalog.pg_extension e
    join pg_catalog.pg_class c on c.relnamespace = e.extnamespace
    cross join pg_catalog.aclexplode(c.relacl) a
    where e.extname = 'powa'
), wanted as (
    select grantee as role, 'store' as purpose
    from acl where relname = 'powa_statements_src_tmp' and privilege_type = 'INSERT'
    union
    select r.oid, purpose
    from pg_catalog.pg_roles r
    cross join pg_catalog.unnest(array['store', 'serve']) as purpose
    where r.rolname = any ($1)
    union
    select grantee, 'operate' from acl where relname = 'powa_servers' and privilege_type = 'INSERT'
    union
    select r.oid, 'operate'
    from pg_catalog.pg_roles r
    where r.rolname = 'pg_signal_backend' and pg_catalog.current_setting('server_version_num')::integer >= 140000
    union
    select r.oid, 'operate'
    from {powa}.powa_roles p
    join pg_catalog.pg_roles r on r.rolname = p.rolname
    where p.powa_role in ('powa_signal_backend', 'powa_write_all_data', 'powa_admin')
    union
    select grantee, 'read' from acl where relname = 'powa_servers' and privilege_type = 'SELECT'
)
select r.rolname::text, w.purpose
from wanted w
join pg_catalog.pg_roles r on r.oid = w.role
where not r.rolsuper and r.rolname <> current_user
order by w.purpose, r.rolname
