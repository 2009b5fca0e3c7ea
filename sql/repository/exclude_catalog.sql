-- Deletes rows of databases that the repository does not know: its catalogs refer to the database, so one such row
-- would fail the catalog of all databases. The catalog is copied again when the database is known.
delete from {target} t
where t.srvid = $1 and not exists (
    select from {powa}.powa_catalog_databases d where d.srvid = t.srvid and d.oid = t.dbid
)
