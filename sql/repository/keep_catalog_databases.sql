-- As keep_databases.sql, for catalogs: without rows, PoWA deletes all catalogs of the server.
insert into {powa}.powa_catalog_database_src_tmp (srvid, oid, datname)
select srvid, oid, datname from {powa}.powa_catalog_databases where srvid = $1
