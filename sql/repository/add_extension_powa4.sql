insert into {powa}.powa_extensions (srvid, extname, version) values ($1, $2, $3)
