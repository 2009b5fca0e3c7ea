delete from {powa}.powa_extensions where srvid = $1 and extname = $2
