-- As lock_server.sql, for a role that may not lock rows of powa_servers. A session that removes the server waits here,
-- too, but a load may deadlock with it; then it is retried.
select m.coalesce_seq, m.snapts::text, pg_catalog.now()::text
from {powa}.powa_servers s
join {powa}.powa_snapshot_metas m on m.srvid = s.id
where s.id = $1
for update of m
