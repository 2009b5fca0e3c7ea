delete from powa_collector.tokens
where expires_at <= pg_catalog.now()
