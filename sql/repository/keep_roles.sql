-- As keep_databases.sql: without rows, PoWA deletes all roles of the server.
insert into {powa}.powa_catalog_role_src_tmp (srvid, oid, rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb,
    rolcanlogin, rolreplication, rolbypassrls)
select srvid, oid, rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls
from {powa}.powa_catalog_roles where srvid = $1
