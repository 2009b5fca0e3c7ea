select {powa}.powa_deactivate_extension($1, $2)
