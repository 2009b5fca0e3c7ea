update {powa}.powa_snapshot_metas
set errors = $2
where srvid = $1
