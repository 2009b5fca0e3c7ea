delete from powa_collector.tags
where srvid = $1 and key = any ($2::text[])
