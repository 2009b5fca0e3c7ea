insert into {powa}.powa_extension_config (srvid, extname, version) values ($1, $2, $3)
