select datname::text, datistemplate, oid, datallowconn from pg_catalog.pg_database order by datname
