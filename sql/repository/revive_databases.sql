-- Unmarks databases that were marked as dropped but exist: PoWA never does, and deletes their history after the
-- retention.
update {powa}.powa_databases d set dropped = null
from {powa}.powa_databases_src_tmp t
where t.srvid = $1 and d.srvid = t.srvid and d.oid = t.oid and d.dropped is not null
