select coalesce(errors, array[]::text[]) from {powa}.powa_snapshot_metas where srvid = $1
