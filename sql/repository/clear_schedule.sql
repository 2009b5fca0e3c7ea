-- A pause is kept.
update powa_collector.schedules
set cron = null, time_zone = null, start_at = null, changed_at = pg_catalog.now(), changed_by = current_user
where srvid = $1 and (cron is not null or start_at is not null)
returning srvid
