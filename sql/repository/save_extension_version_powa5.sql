update {powa}.powa_extension_config set version = $3 where srvid = $1 and extname = $2
