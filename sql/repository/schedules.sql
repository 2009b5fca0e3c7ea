-- Times are seconds since 1970, as every finite and infinite time can be read like that. Texts are cut beyond what is valid.
select s.srvid, pg_catalog.left(s.cron::pg_catalog.text, 300) as cron,
    pg_catalog.left(s.time_zone::pg_catalog.text, 300) as time_zone,
    extract(epoch from s.start_at)::float8 as start_at,
    extract(epoch from s.paused_until)::float8 as paused_until,
    extract(epoch from s.changed_at)::float8 as changed_at
from powa_collector.schedules s
where exists (select from {powa}.powa_servers p where p.id = s.srvid)
