select pg_catalog.current_setting('server_version_num')::integer, pg_catalog.current_setting('server_version'),
    pg_catalog.current_setting('server_encoding'),
    (select d.oid::text from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
