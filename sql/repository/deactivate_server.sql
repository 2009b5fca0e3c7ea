select {powa}.powa_deactivate_server($1)
