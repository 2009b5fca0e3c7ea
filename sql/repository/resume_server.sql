update powa_collector.schedules
set paused_until = null, changed_at = pg_catalog.now(), changed_by = current_user
where srvid = $1 and paused_until > pg_catalog.now()
returning srvid
