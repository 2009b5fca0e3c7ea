select {powa}.powa_take_snapshot($1)
