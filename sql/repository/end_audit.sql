update powa_collector.audit_log
set error = $2, srvid = coalesce(srvid, $3)
where id = $1
