-- The known databases, in place of those that could not be collected: without rows, PoWA considers all of them dropped,
-- and deletes their history after the retention.
insert into {powa}.powa_databases_src_tmp (srvid, oid, datname)
select srvid, oid, datname from {powa}.powa_databases where srvid = $1 and dropped is null
