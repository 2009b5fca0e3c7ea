-- A pause is kept.
insert into powa_collector.schedules (srvid, cron, time_zone, start_at) values ($1, $2, $3, $4)
on conflict (srvid) do update set cron = excluded.cron, time_zone = excluded.time_zone, start_at = excluded.start_at,
    changed_at = excluded.changed_at, changed_by = excluded.changed_by
