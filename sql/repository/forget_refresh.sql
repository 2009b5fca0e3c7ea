-- A catalog could not be stored, so none that this load refreshed counts as fresh.
update {powa}.powa_catalog_databases set last_refresh = null where srvid = $1 and last_refresh = pg_catalog.now()
