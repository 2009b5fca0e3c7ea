select id, hostname, port, alias, username, password is not null as has_password, dbname, frequency, powa_coalesce,
    retention::pg_catalog.text as retention, allow_ui_connection, version
from {powa}.powa_servers
where id > 0
order by id
