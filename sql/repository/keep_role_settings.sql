-- As keep_databases.sql, for the settings of databases and roles.
insert into {pg_track_settings}.pg_track_settings_rds_src_tmp (srvid, ts, name, setting, setdatabase, setrole)
select $1, pg_catalog.now(), name, setting, setdatabase, setrole
from {pg_track_settings}.pg_track_db_role_settings('infinity', $1)
