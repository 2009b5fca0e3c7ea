-- The privileges for snapshots that the role lacks, by purpose and object, and whether another role ($2, may be null)
-- has them, or would have them if PoWA's roles were set up ($3). Tables are those of PoWA and of collected extensions
-- ($1); if that is null, the *_src_tmp tables. PoWA's settings are only read, except for stored versions. PoWA's
-- functions read its views with the privileges of the caller.
with member as (
    select d.classid, d.objid, e.extname, e.extnamespace
    from pg_catalog.pg_depend d
    join pg_catalog.pg_extension e on e.oid = d.refobjid
    where d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.deptype = 'e'
), concerned as (
    select distinct m.extname, m.extnamespace
    from member m
    left join pg_catalog.pg_class c
        on c.oid = m.objid and m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and c.relname like '%\_src\_tmp'
    where m.extname = 'powa' or m.extname::text = any ($1) or ($1::text[] is null and c.oid is not null)
), owned as (
    select m.classid, m.objid, m.extname
    from member m
    join concerned using (extname)
), relation as (
    select c.oid, c.relname, pg_catalog.format('%I.%I', n.nspname, c.relname) as name,
        $3::boolean and o.extname = 'powa' as of_roles,
        case
            when c.relkind = 'v' or c.relname in ('powa_servers', 'powa_functions', 'powa_extensions', 'powa_roles',
                'powa_extension_functions', 'powa_extension_config', 'powa_modules', 'powa_module_config',
                'powa_module_functions', 'powa_db_modules', 'powa_db_module_config', 'powa_db_module_functions',
                'powa_db_module_src_queries', 'powa_catalogs', 'powa_catalog_src_queries')
                then array['select']
            when c.relname like '%\_src\_tmp' then array['select', 'insert', 'delete']
            when o.extname = 'powa' then array['select', 'insert', 'update', 'delete']
            -- In pg_track_settings, the current settings, as opposed to their history.
            when c.relname like '%\_list' then array['select', 'insert', 'delete']
            else array['select', 'insert']
        end as wanted
    from owned o
    join pg_catalog.pg_class c on c.oid = o.objid and o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') or (c.relkind = 'v' and o.extname = 'powa')
), versioned as (
    select r.oid, r.relname, r.name, a.attnum
    from relation r
    join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attname = 'version'
    where r.relname in ('powa_servers', 'powa_extensions', 'powa_extension_config')
), missing as (
    select 'loads' as purpose, name, place, privilege,
        of_roles or pg_catalog.has_table_privilege($2::name, oid, privilege) as by_other
    from relation
    cross join pg_catalog.unnest(wanted) with ordinality as each (privilege, place)
    where not pg_catalog.has_table_privilege(oid, privilege)
    union all
    select 'loads', 'function ' || pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
        pg_catalog.pg_get_function_identity_arguments(p.oid)), 1, 'execute',
        pg_catalog.has_function_privilege($2::name, p.oid, 'execute')
    from owned o
    join pg_catalog.pg_proc p on p.oid = o.objid and o.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where (p.proname in ('powa_take_snapshot', 'powa_db_functions', 'powa_catalog_functions')
        or p.proname ~ '_(snapshot|aggregate|purge)$')
    and not pg_catalog.has_function_privilege(p.oid, 'execute')
    union all
    select 'loads', 'schema ' || pg_catalog.quote_ident(n.nspname), 1, 'usage',
        pg_catalog.has_schema_privilege($2::name, n.oid, 'usage')
    from concerned e
    join pg_catalog.pg_namespace n on n.oid = e.extnamespace
    where not pg_catalog.has_schema_privilege(n.oid, 'usage')
    union all
    select 'versions', name, 1, 'update (version)', pg_catalog.has_column_privilege($2::name, oid, attnum, 'update')
    from versioned
    where not pg_catalog.has_column_privilege(oid, attnum, 'update')
    union all
    select 'versions', name, place, privilege, pg_catalog.has_table_privilege($2::name, oid, privilege)
    from versioned
    cross join pg_catalog.unnest(array['insert', 'delete']) with ordinality as each (privilege, place)
    where relname <> 'powa_servers' and not pg_catalog.has_table_privilege(oid, privilege)
    union all
    select 'emptying', name, 1, 'truncate', of_roles or pg_catalog.has_table_privilege($2::name, oid, 'truncate')
    from relation
    where relname like '%\_src\_tmp' and not pg_catalog.has_table_privilege(oid, 'truncate')
)
select purpose, privileges, name, by_other
from (
    select purpose, name, coalesce(by_other, false) as by_other,
        pg_catalog.array_agg(privilege order by place) as privileges
    from missing
    -- Column privileges are listed separately from table privileges.
    group by purpose, name, coalesce(by_other, false), privilege like '%(%') as is_column
order by purpose, privileges, name
