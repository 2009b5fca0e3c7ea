delete from {powa}.powa_extension_config where srvid = $1 and extname = $2
