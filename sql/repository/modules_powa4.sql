-- PoWA 4 does not tell whether a source function is its own or the extension's: ask who owns it.
-- PoWA 4.0 does not tell which modules are extensions either.
select f.module, coalesce(pg_catalog.to_jsonb(f) ->> 'extname' = f.module, false) as is_extension, exists (
        select
        from pg_catalog.pg_proc p
        join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid
            and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
        join pg_catalog.pg_extension e on e.oid = d.refobjid
        where p.proname = f.query_source and e.extname = f.module
    ) as external, f.query_source, f.query_cleanup
from {powa}.powa_functions f
where f.operation = 'snapshot' and f.enabled and f.srvid = $1 and f.query_source is not null
order by f.priority, f.module
