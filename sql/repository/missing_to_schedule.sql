-- The grants that the role lacks to change schedules, none being an empty text. No row without the collector's schema.
select pg_catalog.concat_ws(E'\n',
    case when not pg_catalog.has_schema_privilege(n.oid, 'usage')
        then pg_catalog.format('grant usage on schema powa_collector to %I', current_user) end,
    case when not (pg_catalog.has_table_privilege(c.oid, 'select') and pg_catalog.has_table_privilege(c.oid, 'insert')
            and pg_catalog.has_table_privilege(c.oid, 'update') and pg_catalog.has_table_privilege(c.oid, 'delete'))
        then pg_catalog.format(
            'grant select, insert, update, delete on powa_collector.schedules to %I', current_user) end)
from pg_catalog.pg_namespace n
join pg_catalog.pg_class c on c.relnamespace = n.oid
where n.nspname = 'powa_collector' and c.relname = 'schedules'
