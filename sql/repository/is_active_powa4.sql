select exists (select from {powa}.powa_functions where srvid = $1 and module = $2 and enabled)
