-- As keep_databases.sql: without rows, pg_track_settings records all settings as dropped. The history has the time of
-- the remote server, whose clock may be ahead, so the latest values are those at infinity.
insert into {pg_track_settings}.pg_track_settings_settings_src_tmp (srvid, ts, name, setting, current_setting)
select $1, pg_catalog.now(), name, setting, setting_pretty
from {pg_track_settings}.pg_track_settings('infinity', $1)
