-- As exclude_classes.sql, for all databases.
with left_out as (
    delete from {powa}.powa_catalog_class_src_tmp where srvid = $1 returning dbid
)
update {powa}.powa_catalog_databases set last_refresh = null
where srvid = $1 and oid in (select dbid from left_out) and last_refresh is not null
