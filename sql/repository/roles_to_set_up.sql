-- Those of PoWA 5's own roles that do not exist, if PoWA has no roles set up and can use these names: some may exist
-- because another database has or had them. Not everybody may read powa_roles, so the privileges of the administrator's
-- role show whether they are set up. A role without INHERIT would gain nothing from membership.
select array(
    select name
    from pg_catalog.unnest(names) as name
    where not exists (select from pg_catalog.pg_roles r where r.rolname = name)
    order by name)
from (select array['powa_admin', 'powa_read_all_data', 'powa_read_all_metrics', 'powa_write_all_data', 'powa_snapshot',
    'powa_signal_backend'] as names) as own
where not exists (
    select
    from pg_catalog.pg_extension e
    join pg_catalog.pg_class c on c.relnamespace = e.extnamespace
    cross join pg_catalog.aclexplode(c.relacl) acl
    where e.extname = 'powa' and c.relname = 'powa_roles' and acl.privilege_type = 'INSERT' and acl.grantee <> c.relowner)
-- PoWA refuses existing roles with more attributes, which would give members more than the privileges of PoWA.
and not exists (
    select
    from pg_catalog.pg_roles r
    where r.rolname::text = any (names)
    and (r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolcanlogin or r.rolreplication or r.rolbypassrls))
and (select me.rolinherit from pg_catalog.pg_roles me where me.rolname = current_user)
