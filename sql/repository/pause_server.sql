insert into powa_collector.schedules (srvid, paused_until) values ($1, $2)
on conflict (srvid) do update set paused_until = excluded.paused_until,
    changed_at = excluded.changed_at, changed_by = excluded.changed_by
