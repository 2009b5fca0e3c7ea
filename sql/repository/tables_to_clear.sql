-- The *_src_tmp tables of these extensions, sorted by name, so that all sessions delete in the same order. Their sizes
-- are not read, because that waits for locks. Some tables are read without regard to the server: by
-- powa_all_tables_snapshot() and powa_all_indexes_snapshot(), and by pg_track_settings before 2.1.1.
select pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
    c.relname in ('powa_all_tables_src_tmp', 'powa_all_indexes_src_tmp', 'pg_track_settings_settings_src_tmp',
        'pg_track_settings_rds_src_tmp', 'pg_track_settings_reboot_src_tmp') as is_read_whole
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid
    and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.deptype = 'e'
join pg_catalog.pg_extension e on e.oid = d.refobjid
where c.relkind = 'r' and c.relname like '%\_src\_tmp' and e.extname = any ($1)
and exists (
    select from pg_catalog.pg_attribute a
    where a.attrelid = c.oid and a.attname = 'srvid' and a.atttypid = 'pg_catalog.int4'::pg_catalog.regtype)
and pg_catalog.has_table_privilege(c.oid, 'delete')
order by 1
