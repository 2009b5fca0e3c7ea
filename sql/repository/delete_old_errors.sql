-- Those that are old, and all but the latest ones of a server ($1).
delete from powa_collector.errors e
where e.last_at < pg_catalog.now() - interval '90 days'
or e.id in (
    select r.id
    from (
        select n.id, pg_catalog.row_number() over (partition by n.srvid order by n.last_at desc, n.id desc) as place
        from powa_collector.errors n) r
    where r.place > $1)
