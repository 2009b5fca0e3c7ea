select {powa}.powa_configure_server($1, $2::pg_catalog.text::pg_catalog.json)
