-- On its own, so that no other value can be the reason for an error which quotes the row.
update {powa}.powa_servers set password = $2 where id = $1
