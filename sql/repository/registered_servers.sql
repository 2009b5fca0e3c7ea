select id, hostname, port, alias, username, password is not null as has_password, dbname, frequency, powa_coalesce,
    retention::pg_catalog.text as retention, allow_ui_connection,
    -- Null in PoWA 4.0, which lacks the column.
    pg_catalog.to_jsonb(s) ->> 'version' as version,
    -- Another one with each change of the row.
    s.xmin::text as row_version
from {powa}.powa_servers s
where id > 0
order by id
