-- Whether the collector's own schema is there, and this role may use what upkeep needs. Looking up a table in a schema that a role
-- may not use is an error.
select case
    when pg_catalog.to_regnamespace('powa_collector') is null then false
    when not pg_catalog.has_schema_privilege('powa_collector', 'USAGE') then false
    else (
        select pg_catalog.count(*) = 4
        from pg_catalog.unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) privilege
        where pg_catalog.has_table_privilege(pg_catalog.to_regclass('powa_collector.errors'), privilege)) end
