-- The collector's own tables have no foreign key to powa_servers. At most 1,000 rows of each table, so that it is quick. Returns how
-- many.
with schedules as (
    delete from powa_collector.schedules
    where srvid in (
        select s.srvid
        from powa_collector.schedules s
        where not exists (select from {powa}.powa_servers p where p.id = s.srvid)
        limit 1000)
    returning srvid
), tags as (
    delete from powa_collector.tags
    where (srvid, key) in (
        select t.srvid, t.key
        from powa_collector.tags t
        where not exists (select from {powa}.powa_servers p where p.id = t.srvid)
        limit 1000)
    returning srvid
), errors as (
    delete from powa_collector.errors
    where id in (
        select e.id
        from powa_collector.errors e
        where not exists (select from {powa}.powa_servers p where p.id = e.srvid)
        limit 1000)
    returning srvid
)
select (select pg_catalog.count(*) from schedules) + (select pg_catalog.count(*) from tags)
    + (select pg_catalog.count(*) from errors)
