-- Ignores missing objects. Names in schemas that the role may not use raise an error.
select 'execute on function ' || signature
from pg_catalog.unnest($1::text[]) as signature
where not coalesce(pg_catalog.has_function_privilege(pg_catalog.to_regprocedure(signature)::oid, 'execute'), true)
union all
select 'select on ' || name
from pg_catalog.unnest($2::text[]) as name
where not coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass(name)::oid, 'select'), true)
