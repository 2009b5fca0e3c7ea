-- Deletes statements of databases that the repository does not know: powa_statements refers to the database, so one
-- such row would fail all statements of the snapshot.
delete from {powa}.powa_statements_src_tmp t
where t.srvid = $1 and not exists (
    select from {powa}.powa_databases d where d.srvid = t.srvid and d.oid = t.dbid
)
