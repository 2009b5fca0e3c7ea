select extname, version from {powa}.powa_extensions where srvid = $1
