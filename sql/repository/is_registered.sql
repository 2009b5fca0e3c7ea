select from {powa}.powa_servers where id = $1
