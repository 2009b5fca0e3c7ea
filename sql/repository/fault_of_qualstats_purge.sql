-- Whether the purge of pg_qualstats calls a function with two arguments that exists only with one, and whether any
-- server collects pg_qualstats.
select exists (
    select from {powa}.powa_functions f
    where f.operation = 'purge' and f.function_name = 'powa_qualstats_purge' and f.enabled and f.srvid > 0
) and exists (
    select
    from pg_catalog.pg_extension e
    join pg_catalog.pg_depend d on d.refobjid = e.oid and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
        and d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.deptype = 'e'
    join pg_catalog.pg_proc p on p.oid = d.objid
    where e.extname = 'powa' and p.proname = 'powa_qualstats_purge'
    and p.prosrc ~ 'powa_prevent_concurrent_snapshot\(_srvid *, *'''
    and not exists (
        select from pg_catalog.pg_proc q
        where q.proname = 'powa_prevent_concurrent_snapshot' and q.pronamespace = p.pronamespace and q.pronargs > 1)
)
