-- PoWA 4 has no list of what it knows, but of what it collects of its own server. What else there is, is in its functions.
select distinct module as name from {powa}.powa_functions
union
select pg_catalog.unnest(array['pg_qualstats', 'pg_stat_kcache', 'pg_track_settings', 'pg_wait_sampling'])
order by name
