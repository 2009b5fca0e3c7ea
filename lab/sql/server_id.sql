select id from {powa}.powa_servers where hostname = $1 and port = $2
