-- PoWA 4.0 does not record which of its modules are extensions, nor their versions. Its own modules have names that
-- begin with powa; one is named after the PostgreSQL view that it reads.
select srvid,
    case when module like 'powa\_%' or module = 'pg_stat_bgwriter' then 'module' else 'extension' end as kind,
    module as name, null::pg_catalog.text as version, pg_catalog.bool_or(enabled) as enabled,
    pg_catalog.bool_or(operation = 'snapshot') as has_snapshots
from {powa}.powa_functions
where srvid > 0
group by srvid, module
order by srvid, kind, name
