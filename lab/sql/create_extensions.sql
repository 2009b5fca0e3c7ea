create extension powa cascade;
create extension pg_qualstats;
create extension pg_stat_kcache;
create extension pg_wait_sampling;
create extension pg_track_settings;
