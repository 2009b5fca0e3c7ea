-- Who the role is, what it may see, and what the server has loaded: a setting that it may not see has no row.
select
    pg_catalog.current_setting('server_version'),
    current_user::text,
    coalesce((
        select pg_catalog.bool_or(pg_catalog.pg_has_role(oid, 'usage'))
        from pg_catalog.pg_roles where rolname = 'pg_read_all_stats'), false),
    coalesce((
        select pg_catalog.bool_or(pg_catalog.pg_has_role(oid, 'usage'))
        from pg_catalog.pg_roles where rolname = 'pg_read_all_settings'), false),
    (select setting from pg_catalog.pg_settings where name = 'shared_preload_libraries')
