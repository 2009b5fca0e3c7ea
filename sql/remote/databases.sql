select datname::text, datistemplate from pg_catalog.pg_database where datallowconn order by datname
