select s.id,
       s.alias,
       m.coalesce_seq - 1 as snapshots,
       case when m.snapts > '-infinity' then pg_catalog.to_char(m.snapts, 'HH24:MI:SS TZ') end as last,
       m.errors
  from powa_servers s
  join powa_snapshot_metas m on m.srvid = s.id
 where s.id > 0
 order by s.id
