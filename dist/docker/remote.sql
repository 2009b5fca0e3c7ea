-- A server to collect: the database powa with the extensions, the role that the collector connects as, and
-- applications that keep it busy. The passwords come from docker-compose.yml.
\getenv remote_password REMOTE_PASSWORD
\getenv application_password APPLICATION_PASSWORD

create database powa;
\connect powa
create extension powa cascade;
create extension pg_qualstats;
create extension pg_stat_kcache;
create extension pg_track_settings;
create extension pg_wait_sampling;

create role powa login password :'remote_password' in role pg_read_all_stats;
grant execute on function pg_qualstats_reset() to powa;

create role application login password :'application_password';
create database library owner application;
create database shop owner application;
