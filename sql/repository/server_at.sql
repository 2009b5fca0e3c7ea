-- The newest, in case the unique constraint was dropped.
select pg_catalog.max(id) from {powa}.powa_servers where hostname = $1 and port = $2
