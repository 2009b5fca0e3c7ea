select {powa}.powa_register_server(hostname => $1, port => $2, alias => $3, username => $4, dbname => $5,
    frequency => $6, powa_coalesce => $7, retention => $8::pg_catalog.text::pg_catalog.interval,
    allow_ui_connection => $9)
