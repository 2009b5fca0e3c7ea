select id, hostname, port, alias, username, password is not null as has_password, dbname, frequency, powa_coalesce,
    retention::pg_catalog.text as retention, allow_ui_connection,
    -- Null in PoWA 4.0, which lacks the column.
    pg_catalog.to_jsonb(s) ->> 'version' as version,
    -- Another one with each change of the row.
    s.xmin::text as row_version,
    -- Which of the collector's own tables there are, as JSON: each with the grants that are missing to read it. Null without its schema.
    (
        select pg_catalog.json_object_agg(c.relname, pg_catalog.concat_ws('; ',
            case when not pg_catalog.has_schema_privilege(n.oid, 'usage')
                then pg_catalog.format('grant usage on schema powa_collector to %I', current_user) end,
            case when not pg_catalog.has_table_privilege(c.oid, 'select')
                then pg_catalog.format('grant select on powa_collector.%I to %I', c.relname, current_user) end))::text
        from pg_catalog.pg_namespace n
        join pg_catalog.pg_class c on c.relnamespace = n.oid
        where n.nspname = 'powa_collector' and c.relname in ('schedules', 'tags')
    ) as own_tables
from {powa}.powa_servers s
where id > 0
order by id
