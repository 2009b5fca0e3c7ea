-- As PoWA's own function, which would use up an id.
insert into {powa}.powa_servers (id, hostname, port, username, dbname) values ($1, $2, $3, $4, $5)
