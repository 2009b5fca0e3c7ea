select coalesce(pg_catalog.max(version), 0) from powa_collector.schema_version
