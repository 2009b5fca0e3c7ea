select {powa}.powa_register_server(
    hostname => $1,
    port => $2,
    alias => $3,
    username => $4,
    password => $5,
    dbname => $6,
    frequency => $7,
    extensions => $8
)
