select {powa}.powa_activate_extension($1, $2)
