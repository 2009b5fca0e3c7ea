select distinct name from {powa}.powa_functions where enabled and srvid > 0
