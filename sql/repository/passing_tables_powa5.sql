-- The tables that rows only pass through: PoWA's own, and those of extensions that it knows. Plain tables only.
select n.nspname::text, c.relname::text, pg_catalog.pg_relation_size(c.oid),
    pg_catalog.has_table_privilege(c.oid, 'truncate'), current_user::text
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid
    and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.deptype = 'e'
join pg_catalog.pg_extension e on e.oid = d.refobjid
where c.relkind = 'r' and c.relname like '%\_src\_tmp'
and (e.extname = 'powa' or e.extname in (select extname from {powa}.powa_extensions))
order by 3 desc
