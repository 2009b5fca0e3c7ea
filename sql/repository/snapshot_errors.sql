select coalesce(errors, '{}') from {powa}.powa_snapshot_metas where srvid = $1
