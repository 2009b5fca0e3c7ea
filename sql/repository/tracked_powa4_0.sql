-- PoWA 4.0 does not say which of its modules are extensions, and keeps no versions of them. Its own are called after it,
-- and one after the view of PostgreSQL that it reads.
select srvid,
    case when module like 'powa\_%' or module = 'pg_stat_bgwriter' then 'module' else 'extension' end as kind,
    module as name, null::pg_catalog.text as version, pg_catalog.bool_or(enabled) as enabled
from {powa}.powa_functions
where srvid > 0
group by srvid, module
order by srvid, kind, name
