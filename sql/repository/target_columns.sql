-- The columns of the *_src_tmp tables, in order. A column is required if it is NOT NULL without default or identity:
-- COPY then needs a value.
select n.nspname::text, c.relname::text, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
    c.oid, a.attnum, a.attname::text, a.atttypid,
    a.attnotnull and not a.atthasdef and a.attidentity = '' as required
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid
    and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.deptype = 'e'
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
where c.relkind = 'r' and c.relname like '%\_src\_tmp'
order by c.oid, a.attnum
