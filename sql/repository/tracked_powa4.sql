-- A module of PoWA 4 is an extension, or one of PoWA's own.
select f.srvid, case when f.module = f.extname then 'extension' else 'module' end as kind, f.module as name,
    pg_catalog.max(e.version) as version, pg_catalog.bool_or(f.enabled) as enabled,
    pg_catalog.bool_or(f.operation = 'snapshot') as has_snapshots
from {powa}.powa_functions f
left join {powa}.powa_extensions e on e.srvid = f.srvid and e.extname = f.module
where f.srvid > 0
group by f.srvid, f.module, f.extname
order by srvid, kind, name
