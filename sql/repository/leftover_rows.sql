-- The number of rows in a *_src_tmp table by server; counting stops at one million rows. A server that is not
-- registered has no name.
select r.srvid, r.number, coalesce(s.alias, s.hostname || ':' || s.port)
from (
    select srvid, pg_catalog.count(*) as number
    from (select srvid from only staging_table where srvid is not null limit 1000000) first
    group by srvid) r
left join {powa}.powa_servers s on s.id = r.srvid
order by r.srvid
