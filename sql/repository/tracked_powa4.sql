-- What PoWA 4 calls a module is an extension, or one of its own. Extensions without a module, as hypopg, have a version
-- only.
select f.srvid, case when f.module = f.extname then 'extension' else 'module' end as kind, f.module as name,
    pg_catalog.max(e.version) as version, pg_catalog.bool_or(f.enabled) as enabled
from {powa}.powa_functions f
left join {powa}.powa_extensions e on e.srvid = f.srvid and e.extname = f.module
where f.srvid > 0
group by f.srvid, f.module, f.extname
union all
select e.srvid, 'extension', e.extname, e.version, true
from {powa}.powa_extensions e
where e.srvid > 0 and e.extname <> 'powa'
and not exists (select from {powa}.powa_functions f where f.srvid = e.srvid and f.module = e.extname)
order by srvid, kind, name
