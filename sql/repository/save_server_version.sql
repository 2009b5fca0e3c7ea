update {powa}.powa_servers
set version = $2
where id = $1 and version is distinct from $2
