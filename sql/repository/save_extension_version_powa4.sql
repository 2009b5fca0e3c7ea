update {powa}.powa_extensions set version = $3 where srvid = $1 and extname = $2
