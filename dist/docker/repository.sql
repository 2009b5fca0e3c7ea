-- The database with PoWA's history, its roles, and the registered servers.
-- The passwords come from docker-compose.yml.
\getenv collector_password COLLECTOR_PASSWORD
\getenv web_password WEB_PASSWORD
\getenv remote_password REMOTE_PASSWORD

create database powa;
\connect powa
-- Also creates the roles powa_snapshot, powa_read_all_data and others.
create extension powa cascade;
create extension pg_track_settings;

create role powa_collector login password :'collector_password' in role powa_snapshot;
-- For status, reload, snapshot and other commands in the collector's container.
grant pg_signal_backend to powa_collector;
-- The collector updates the stored versions of PostgreSQL and of the extensions, including hypopg, which it may add.
grant update (version) on powa_servers, powa_extension_config to powa_collector;
grant insert, delete on powa_extension_config to powa_collector;
-- pg_track_settings is not part of PoWA: powa_snapshot has no privileges on its tables.
grant select, insert on
    pg_reboot, pg_track_settings_history, pg_track_db_role_settings_history
    to powa_collector;
grant select, insert, delete on
    pg_track_settings_list, pg_track_db_role_settings_list, pg_track_settings_settings_src_tmp,
    pg_track_settings_rds_src_tmp, pg_track_settings_reboot_src_tmp
    to powa_collector;
grant truncate on
    pg_track_settings_settings_src_tmp, pg_track_settings_rds_src_tmp, pg_track_settings_reboot_src_tmp
    to powa_collector;

-- The role for powa-web: reads the history, sends commands to the collector, and sees whether it is connected.
create role powa_web login password :'web_password' in role powa_read_all_data, powa_signal_backend, pg_read_all_stats;
grant select on
    pg_track_settings_list, pg_track_settings_history,
    pg_track_db_role_settings_list, pg_track_db_role_settings_history, pg_reboot
    to powa_web;

select powa_register_server(
    hostname => host,
    alias => host,
    username => 'powa',
    password => :'remote_password',
    dbname => 'powa',
    frequency => 10,
    extensions => '{pg_qualstats,pg_stat_kcache,pg_track_settings,pg_wait_sampling}')
from (values ('remote1'), ('remote2')) as remote (host);
