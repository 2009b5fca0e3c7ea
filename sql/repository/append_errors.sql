update {powa}.powa_snapshot_metas
set errors = pg_catalog.array_cat(errors, $2)
where srvid = $1
