-- Pins the settings that the collector depends on, whatever a role or database sets. Exceptions: an inherited
-- lock_timeout is respected, and older versions of PostgreSQL do not have all settings. PoWA 4 does not qualify all
-- names: there, the search_path is pg_catalog, then the schemas of the extensions, then the inherited one. Returns the
-- extensions.
with extension as (
    select e.extname::text, e.extversion, n.nspname::text
    from pg_catalog.pg_extension e
    join pg_catalog.pg_namespace n on n.oid = e.extnamespace)
select
    array(select extname from extension order by extname),
    array(select extversion from extension order by extname),
    array(select nspname from extension order by extname),
    case when pg_catalog.current_setting('idle_session_timeout', true) is not null
        then pg_catalog.set_config('idle_session_timeout', '0', false) end,
    pg_catalog.set_config('idle_in_transaction_session_timeout', $2, false),
    pg_catalog.set_config('statement_timeout', $1, false),
    pg_catalog.set_config('lock_timeout', case pg_catalog.current_setting('lock_timeout')
        when '0' then '2s' else pg_catalog.current_setting('lock_timeout') end, false),
    pg_catalog.set_config('default_transaction_read_only', 'off', false),
    pg_catalog.set_config('exit_on_error', 'off', false),
    pg_catalog.set_config('client_encoding', 'UTF8', false),
    pg_catalog.set_config('DateStyle', 'ISO, YMD', false),
    pg_catalog.set_config('IntervalStyle', 'postgres', false),
    pg_catalog.set_config('TimeZone', 'UTC', false),
    pg_catalog.set_config('extra_float_digits', '3', false),
    pg_catalog.set_config('bytea_output', 'hex', false),
    pg_catalog.set_config('array_nulls', 'on', false),
    pg_catalog.set_config('standard_conforming_strings', 'on', false),
    pg_catalog.set_config('quote_all_identifiers', 'off', false),
    pg_catalog.set_config('search_path', case
        when exists (select from extension where extname = 'powa' and extversion like '4.%')
        then (
            select pg_catalog.concat_ws(', ', 'pg_catalog',
                (select pg_catalog.string_agg(distinct pg_catalog.quote_ident(nspname), ', ') from extension),
                nullif(reset_val, ''))
            from pg_catalog.pg_settings
            where name = 'search_path')
        else 'pg_catalog' end, false)
