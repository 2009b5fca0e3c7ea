-- A statement of its own, so that no other value can cause an error that quotes the row.
update {powa}.powa_servers set password = $2 where id = $1
