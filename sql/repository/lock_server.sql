-- Prevents the removal of the server and concurrent loads until the load has ended. The row in powa_servers comes
-- first, as in the removal of a server, to avoid deadlocks.
select m.coalesce_seq, m.snapts::text, pg_catalog.now()::text
from {powa}.powa_servers s
join {powa}.powa_snapshot_metas m on m.srvid = s.id
where s.id = $1
for key share of s for update of m
