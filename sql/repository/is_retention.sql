select $1::pg_catalog.text::pg_catalog.interval operator(pg_catalog.>=)
    greatest(interval '1 hour', pg_catalog.make_interval(secs => $2::pg_catalog.int4))
