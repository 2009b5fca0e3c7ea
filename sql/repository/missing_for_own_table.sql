-- The grants that the role lacks for privileges ($2) on a table of the collector's own schema ($1), none being an empty text. No
-- row without the table.
select pg_catalog.concat_ws(E'\n',
    case when not pg_catalog.has_schema_privilege(n.oid, 'usage')
        then pg_catalog.format('grant usage on schema powa_collector to %I', current_user) end,
    case when exists (select from pg_catalog.unnest($2::text[]) p where not pg_catalog.has_table_privilege(c.oid, p))
        then pg_catalog.format(
            'grant %s on powa_collector.%I to %I', pg_catalog.array_to_string($2::text[], ', '), c.relname, current_user) end)
from pg_catalog.pg_namespace n
join pg_catalog.pg_class c on c.relnamespace = n.oid
where n.nspname = 'powa_collector' and c.relname = $1::text
