-- PoWA 4 only lists what it collects from its own server. The rest is in the source code of its functions.
select distinct module as name from {powa}.powa_functions
union
select pg_catalog.unnest(array['pg_qualstats', 'pg_stat_kcache', 'pg_track_settings', 'pg_wait_sampling'])
order by name
