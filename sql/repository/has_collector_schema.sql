-- Whether the collector's own schema is there, and this role may use what upkeep needs.
select coalesce(
    pg_catalog.has_table_privilege(
        pg_catalog.to_regclass('powa_collector.errors'), 'SELECT, INSERT, UPDATE, DELETE'), false)
