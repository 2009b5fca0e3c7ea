-- The grants that the role lacks for a task ($1): list servers (list), register a server (register, or register with
-- password), change one (change), change what is collected from it (switch), or remove it with its history (remove, or
-- disable and remove). PoWA's functions run with the privileges of the caller, but foreign keys to powa_servers act
-- with those of its owner. Registering and switching also list servers. A check of the server before ($2) reads what
-- would be collected.
with powa as (
    select extnamespace, extversion !~ '^4\.' as has_modules from pg_catalog.pg_extension where extname = 'powa'
), owned as (
    select d.classid, d.objid, e.extname, e.extnamespace
    from pg_catalog.pg_depend d
    join pg_catalog.pg_extension e on e.oid = d.refobjid
    where d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.deptype = 'e'
    and (e.extname = 'powa' or (e.extname = 'pg_track_settings' and $1::pg_catalog.text like '%remove'))
), relation as (
    select c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) as name,
        case
            when c.relname = 'powa_servers' then case $1
                when 'register' then array['select', 'insert']
                when 'register with password' then array['select', 'insert', 'update']
                when 'change' then array['select', 'update']
                when 'remove' then array['select', 'delete']
                when 'disable and remove' then array['select', 'update', 'delete']
                else array['select'] end
            when $1 = 'change' then array[]::text[]
            when $1 like '%remove' then case
                when o.extname = 'pg_track_settings' and c.relname in ('pg_track_settings_list',
                    'pg_track_settings_history', 'pg_track_db_role_settings_list', 'pg_track_db_role_settings_history',
                    'pg_reboot')
                    then array['select', 'delete']
                -- PoWA 5 also deletes from the *_src_tmp tables.
                when not powa.has_modules or c.relnamespace <> powa.extnamespace then array[]::text[]
                when c.relname like '%\_src\_tmp' then array['select', 'delete']
                when c.relname in ('powa_catalogs', 'powa_db_modules', 'powa_extension_functions', 'powa_module_functions')
                    then array['select']
                else array[]::text[] end
            -- In PoWA 4, powa_functions and powa_extensions list what is collected; in PoWA 5, what could be.
            when c.relname in ('powa_extension_config', 'powa_module_config', 'powa_db_module_config')
                or (c.relname = 'powa_functions' and not powa.has_modules)
                then case $1 when 'list' then array['select'] else array['select', 'insert', 'update'] end
            when c.relname = 'powa_extensions' and not powa.has_modules and $1 <> 'list'
                then array['select', 'insert']
            when c.relname = 'powa_snapshot_metas' and $1 like 'register%' then array['select', 'insert']
            when c.relname in ('powa_extensions', 'powa_extension_functions', 'powa_modules', 'powa_db_modules')
                then array['select']
            else array[]::text[]
        end || case
            when $2::pg_catalog.bool and c.relname in ('powa_functions', 'powa_db_modules', 'powa_db_module_functions',
                'powa_db_module_config', 'powa_db_module_src_queries', 'powa_catalogs', 'powa_catalog_src_queries',
                'powa_catalog_databases')
                then array['select']
            else array[]::text[]
        end as wanted
    from powa
    cross join owned o
    join pg_catalog.pg_class c on c.oid = o.objid and o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v')
), missing as (
    -- Reading needs the whole table. Which columns are written depends on the change, so a privilege on any column
    -- suffices; a role that collects has one on the versions.
    select '' as kind, name, array(
        select privilege from pg_catalog.unnest(wanted) with ordinality as each (privilege, place)
        where case privilege
            when 'delete' then not pg_catalog.has_table_privilege(relation.oid, 'delete')
            when 'select' then exists (
                select from pg_catalog.pg_attribute a
                where a.attrelid = relation.oid and a.attnum > 0 and not a.attisdropped
                    and not pg_catalog.has_column_privilege(relation.oid, a.attnum, 'select'))
            else not exists (
                select from pg_catalog.pg_attribute a
                where a.attrelid = relation.oid and a.attnum > 0 and not a.attisdropped and a.attname <> 'version'
                    and (a.attname = 'frequency' or $1 not like '%remove' or privilege <> 'update')
                    and pg_catalog.has_column_privilege(relation.oid, a.attnum, privilege)) end
        group by privilege
        order by pg_catalog.min(place)) as privileges
    from relation
    union all
    -- The sequence for the id of a new server.
    select 'sequence ', pg_catalog.format('%I.%I', n.nspname, s.relname), array['usage']
    from owned o
    join pg_catalog.pg_class c on c.oid = o.objid and o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    join pg_catalog.pg_depend d on d.refobjid = c.oid and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype in ('a', 'i')
    join pg_catalog.pg_class s on s.oid = d.objid
    join pg_catalog.pg_namespace n on n.oid = s.relnamespace
    where $1 like 'register%' and c.relname = 'powa_servers'
    -- CASE guarantees the order: the function fails for other dependent objects.
    and case when s.relkind = 'S' then not pg_catalog.has_sequence_privilege(s.oid, 'usage') else false end
    union all
    select 'function ', pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
        pg_catalog.pg_get_function_identity_arguments(p.oid)), array['execute']
    from owned o
    join pg_catalog.pg_proc p on p.oid = o.objid and o.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where not pg_catalog.has_function_privilege(p.oid, 'execute') and case
        when $1 = 'list' then false
        when $1 like 'register%' then p.proname ~ '^powa_(register_server|activate_(extension|module|db_module)|.*_register)$'
        when $1 = 'change' then p.proname in ('powa_configure_server', 'powa_deactivate_server')
        when $1 = 'remove' then p.proname = 'powa_delete_and_purge_server'
        when $1 = 'disable and remove' then p.proname in ('powa_delete_and_purge_server', 'powa_deactivate_server')
        else p.proname ~ '^powa_((de)?activate_(extension|module|db_module)|.*_register)$' end
    union all
    select distinct 'schema ', pg_catalog.quote_ident(n.nspname), array['usage']
    from owned o
    join pg_catalog.pg_namespace n on n.oid = o.extnamespace
    where not pg_catalog.has_schema_privilege(n.oid, 'usage')
)
select pg_catalog.format('grant %s on %s%s to %I', pg_catalog.array_to_string(privileges, ', '), kind,
    pg_catalog.string_agg(name, ', ' order by name), current_user)
from missing
where pg_catalog.cardinality(privileges) > 0
group by kind, privileges
order by kind, privileges
