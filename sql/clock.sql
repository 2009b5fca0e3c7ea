select pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())
