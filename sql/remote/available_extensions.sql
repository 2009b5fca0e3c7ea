select name::text from pg_catalog.pg_available_extensions where name::text = any ($1)
