delete from powa_collector.schedules
where srvid in (
    select s.srvid
    from powa_collector.schedules s
    where not exists (select from {powa}.powa_servers p where p.id = s.srvid)
    limit 1000)
returning srvid
