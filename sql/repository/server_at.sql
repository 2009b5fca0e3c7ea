-- The last one, where somebody has lifted the constraint that there is one only.
select pg_catalog.max(id) from {powa}.powa_servers where hostname = $1 and port = $2
