-- The available versions of an extension, and whether the installed one can be updated to each.
select v.version, exists (
    select from pg_catalog.pg_extension_update_paths(v.name) p
    where p.source = e.extversion and p.target = v.version and p.path is not null)
from pg_catalog.pg_available_extension_versions v
join pg_catalog.pg_extension e on e.extname = v.name
where v.name = $1::pg_catalog.text::pg_catalog.name
