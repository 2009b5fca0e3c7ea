select exists (select from pg_catalog.pg_stat_activity where pid = $1)
