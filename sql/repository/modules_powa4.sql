-- PoWA 4 does not record whether a source function belongs to PoWA or to the extension, so its owner is looked up. A
-- function without a table belongs to an extension that the repository lacks. PoWA 4.0 does not record which modules
-- are extensions.
select f.module, coalesce(pg_catalog.to_jsonb(f) ->> 'extname' = f.module, false) as is_extension, exists (
        select
        from pg_catalog.pg_proc p
        join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid
            and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
        join pg_catalog.pg_extension e on e.oid = d.refobjid
        where p.proname = f.query_source and e.extname = f.module
    ) or not exists (select from pg_catalog.pg_class c where c.relname = f.query_source || '_tmp') as external,
    f.query_source, f.query_cleanup
from {powa}.powa_functions f
where f.operation = 'snapshot' and f.enabled and f.srvid = $1 and f.query_source is not null
order by f.priority, f.module
