-- Null: the table is not there. A table that was made by something else fails to be read later, with its name in the error.
select pg_catalog.to_regclass('powa_collector.schema_version') is not null,
    pg_catalog.to_regnamespace('powa_collector') is not null
