select name
from pg_catalog.unnest($1::text[]) as name
where not coalesce(pg_catalog.has_schema_privilege(pg_catalog.to_regnamespace(name)::oid, 'usage'), true)
