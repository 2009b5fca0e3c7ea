select extname, version from {powa}.powa_extension_config where srvid = $1
