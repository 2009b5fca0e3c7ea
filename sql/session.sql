-- What the text form of COPY depends on is the same in every session, on either side. A lock_timeout that the session
-- inherits is respected. PoWA 4 does not qualify all names: there, the search_path is left as it is. The version that
-- this was decided by comes first.
select
    (select extversion from pg_catalog.pg_extension where extname = 'powa'),
    pg_catalog.set_config('client_encoding', 'UTF8', false),
    pg_catalog.set_config('DateStyle', 'ISO, YMD', false),
    pg_catalog.set_config('IntervalStyle', 'postgres', false),
    pg_catalog.set_config('TimeZone', 'UTC', false),
    pg_catalog.set_config('extra_float_digits', '3', false),
    pg_catalog.set_config('bytea_output', 'hex', false),
    pg_catalog.set_config('standard_conforming_strings', 'on', false),
    pg_catalog.set_config('default_transaction_read_only', 'off', false),
    pg_catalog.set_config('default_transaction_isolation', 'read committed', false),
    pg_catalog.set_config('idle_in_transaction_session_timeout', $2, false),
    pg_catalog.set_config('statement_timeout', $1, false),
    pg_catalog.set_config('lock_timeout', case pg_catalog.current_setting('lock_timeout')
        when '0' then '2s' else pg_catalog.current_setting('lock_timeout') end, false),
    pg_catalog.set_config('search_path', case
        when exists (select from pg_catalog.pg_extension where extname = 'powa' and extversion like '4.%')
        then pg_catalog.current_setting('search_path') else 'pg_catalog' end, false)
