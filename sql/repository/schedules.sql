-- Times are seconds since 1970, as every finite and infinite time can be read like that.
select s.srvid, s.cron, s.time_zone,
    extract(epoch from s.start_at)::float8 as start_at,
    extract(epoch from s.paused_until)::float8 as paused_until,
    extract(epoch from s.changed_at)::float8 as changed_at,
    exists (select from {powa}.powa_servers p where p.id = s.srvid) as is_registered
from powa_collector.schedules s
