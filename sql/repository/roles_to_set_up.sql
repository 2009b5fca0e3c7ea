-- The names of PoWA 5's own roles that are no roles yet, if PoWA has none set up, and can have these: which is so if a database
-- beside it, or before it, has or had them. powa_roles tells, and cannot be read by everybody: so it is asked for what an
-- administrator's role is granted. One who does not inherit would have nothing of being a member.
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
-- PoWA takes no others, so that nobody gets more than that by it.
and not exists (
    select
    from pg_catalog.pg_roles r
    where r.rolname::text = any (names)
    and (r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolcanlogin or r.rolreplication or r.rolbypassrls))
and (select me.rolinherit from pg_catalog.pg_roles me where me.rolname = current_user)
