select pg_catalog.current_setting('server_version'), current_user::text, pg_catalog.getdatabaseencoding()::text
