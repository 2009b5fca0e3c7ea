select $1::pg_catalog.text::pg_catalog.interval operator(pg_catalog.>) interval '0'
