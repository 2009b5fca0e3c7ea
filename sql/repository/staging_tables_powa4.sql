-- The *_src_tmp tables of PoWA and of the extensions that it knows, whether they have the column srvid, and the
-- privileges of the role. Plain tables only. pg_track_settings may have rows of removed servers, even if no server uses
-- it any more.
select n.nspname::text, c.relname::text, pg_catalog.pg_relation_size(c.oid),
    pg_catalog.has_table_privilege(c.oid, 'truncate'), current_user::text,
    exists (
        select from pg_catalog.pg_attribute a
        where a.attrelid = c.oid and a.attname = 'srvid' and a.atttypid = 'pg_catalog.int4'::pg_catalog.regtype),
    array(
        select privilege
        from pg_catalog.unnest(array['select', 'delete']) with ordinality as each (privilege, place)
        where not pg_catalog.has_table_privilege(c.oid, privilege)
        order by place)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid
    and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.deptype = 'e'
join pg_catalog.pg_extension e on e.oid = d.refobjid
where c.relkind = 'r' and c.relname like '%\_src\_tmp'
and (e.extname in ('powa', 'pg_track_settings') or e.extname in (select module from {powa}.powa_functions))
order by 3 desc
