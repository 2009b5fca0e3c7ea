update {powa}.powa_servers set powa_coalesce = $2 where id = $1
