-- Both are kept with each snapshot, by modules that may be off.
select datname::pg_catalog.text as name from {powa}.powa_catalog_databases where srvid = $1
union
select datname::pg_catalog.text from {powa}.powa_databases where srvid = $1 and dropped is null
order by name
