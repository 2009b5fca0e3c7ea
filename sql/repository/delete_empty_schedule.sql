-- A row that no longer means anything.
delete from powa_collector.schedules
where srvid = $1 and cron is null and start_at is null
    and (paused_until is null or paused_until <= pg_catalog.now())
