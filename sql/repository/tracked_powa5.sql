-- All that PoWA knows, for each server. "powa" is an alias for all modules. For extensions without snapshots, such as
-- hypopg, only the version is stored, for powa-web.
select s.id as srvid, known.kind, known.name, e.version,
    coalesce(e.enabled, m.enabled, d.enabled, false) as enabled,
    known.kind <> 'extension' or exists (
        select from {powa}.powa_extension_functions f
        where f.extname = known.name and f.operation = 'snapshot') as has_snapshots
from {powa}.powa_servers s
cross join (
    select 'extension' as kind, extname as name from {powa}.powa_extensions where extname <> 'powa'
    union all
    select 'module', module from {powa}.powa_modules
    union all
    select 'database module', db_module from {powa}.powa_db_modules) known
left join {powa}.powa_extension_config e
    on known.kind = 'extension' and e.srvid = s.id and e.extname = known.name
left join {powa}.powa_module_config m
    on known.kind = 'module' and m.srvid = s.id and m.module = known.name
left join {powa}.powa_db_module_config d
    on known.kind = 'database module' and d.srvid = s.id and d.db_module = known.name
where s.id > 0
order by s.id, known.kind, known.name
