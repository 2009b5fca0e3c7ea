-- A database with rows in pg_class counts as refreshed for a year. Prevents that for databases with an incomplete copy,
-- also for those refreshed before that were due again.
with left_out as (
    delete from {powa}.powa_catalog_class_src_tmp where srvid = $1 and dbid = any ($2::text[]::oid[])
)
update {powa}.powa_catalog_databases set last_refresh = null
where srvid = $1 and oid = any ($2::text[]::oid[]) and last_refresh is not null
