-- One setup at a time: the second one finds what the first one has made. The number is arbitrary.
select pg_catalog.pg_advisory_xact_lock(7069577413)
