select pg_catalog.current_setting('server_version_num')::integer, pg_catalog.current_setting('server_version'),
    pg_catalog.current_setting('server_encoding')
