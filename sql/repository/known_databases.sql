-- Two modules store the databases, and each may be disabled. Without template0, which accepts no connections.
select known.name
from (
    select datname::pg_catalog.text as name from {powa}.powa_catalog_databases where srvid = $1
    union
    select datname::pg_catalog.text from {powa}.powa_databases where srvid = $1 and dropped is null) known
where known.name operator(pg_catalog.<>) 'template0'
order by known.name
