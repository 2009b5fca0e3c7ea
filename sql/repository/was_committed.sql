select pg_catalog.txid_status($1)
