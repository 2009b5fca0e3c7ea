-- The grants that the role lacks to have a server removed, with its history. PoWA's function does that as whoever calls it,
-- but for what refers to the row in powa_servers, which goes as its owner. PoWA 5 ($1) also empties the tables that it loads
-- into. A server that is collected from is disabled before ($2).
with powa as (
    select extnamespace from pg_catalog.pg_extension where extname = 'powa'
), owned as (
    select d.classid, d.objid, e.extname, e.extnamespace
    from pg_catalog.pg_depend d
    join pg_catalog.pg_extension e on e.oid = d.refobjid
    where d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.deptype = 'e'
    and e.extname in ('powa', 'pg_track_settings')
), relation as (
    select c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) as name,
        case
            when c.relname = 'powa_servers' then array['select', 'update', 'delete']
            when o.extname = 'pg_track_settings' and c.relname in ('pg_track_settings_list', 'pg_track_settings_history',
                'pg_track_db_role_settings_list', 'pg_track_db_role_settings_history', 'pg_reboot')
                then array['select', 'delete']
            when not $1::pg_catalog.bool or c.relnamespace <> powa.extnamespace then array[]::text[]
            when c.relname like '%\_src\_tmp' then array['select', 'delete']
            when c.relname in ('powa_catalogs', 'powa_db_modules', 'powa_extension_functions', 'powa_module_functions')
                then array['select']
            else array[]::text[]
        end as wanted
    from powa
    cross join owned o
    join pg_catalog.pg_class c on c.oid = o.objid and o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p')
), missing as (
    -- Some columns will do to look for a row, and one to disable it.
    select '' as kind, name, array(
        select privilege from pg_catalog.unnest(wanted) as privilege
        where not case privilege
            when 'select' then pg_catalog.has_any_column_privilege(oid, 'select')
            when 'update' then not $2::pg_catalog.bool or pg_catalog.has_column_privilege(oid, 'frequency', 'update')
            else pg_catalog.has_table_privilege(oid, privilege) end) as privileges
    from relation
    union all
    select 'function ', pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
        pg_catalog.pg_get_function_identity_arguments(p.oid)), array['execute']
    from owned o
    join pg_catalog.pg_proc p on p.oid = o.objid and o.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where (p.proname = 'powa_delete_and_purge_server' or ($2::pg_catalog.bool and p.proname = 'powa_deactivate_server'))
    and not pg_catalog.has_function_privilege(p.oid, 'execute')
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
