select {powa}.powa_delete_and_purge_server($1)
