-- Removes all other tags of a server.
delete from powa_collector.tags
where srvid = $1 and key <> all ($2::text[])
