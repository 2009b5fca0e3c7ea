-- The role, what it may see, and the loaded libraries: a setting that it may not see has no row. The connection limit
-- is that of the login role; a superuser has none.
select
    pg_catalog.current_setting('server_version'),
    current_user::text,
    coalesce((
        select pg_catalog.bool_or(pg_catalog.pg_has_role(oid, 'usage'))
        from pg_catalog.pg_roles where rolname = 'pg_read_all_stats'), false),
    coalesce((
        select pg_catalog.bool_or(pg_catalog.pg_has_role(oid, 'usage'))
        from pg_catalog.pg_roles where rolname = 'pg_read_all_settings'), false),
    (select setting from pg_catalog.pg_settings where name = 'shared_preload_libraries'),
    (select rolconnlimit from pg_catalog.pg_roles where rolname = session_user and not rolsuper and rolconnlimit >= 0),
    (select pg_catalog.count(*) from pg_catalog.pg_stat_activity
        where usename = session_user and pid <> pg_catalog.pg_backend_pid())
