-- A remote server: the database powa with the extensions, the collector's role, and databases of applications that keep
-- it busy. The passwords come from docker-compose.yml.
\getenv remote_password REMOTE_PASSWORD
\getenv application_password APPLICATION_PASSWORD

create database powa;
\connect powa
create extension powa cascade;
create extension pg_qualstats;
create extension pg_stat_kcache;
create extension pg_track_settings;
create extension pg_wait_sampling;

-- Without these two, the texts of other roles' statements and some settings are missing, without an error.
create role powa login password :'remote_password' in role pg_read_all_stats, pg_read_all_settings;
-- PoWA's functions read these tables, even if nothing is stored here.
grant select on powa_databases, powa_statements to powa;
-- Each snapshot resets pg_qualstats.
grant execute on function pg_qualstats_reset() to powa;

create role application login password :'application_password';
create database library owner application;
create database shop owner application;
-- Here and not in the workload, so that the tables exist before the collector reads the catalogs.
\! PGOPTIONS='-c role=application' pgbench --initialize --quiet library
\! PGOPTIONS='-c role=application' pgbench --initialize --quiet shop
