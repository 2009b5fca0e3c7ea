-- Those older than 90 days, and all but the latest ones ($1).
delete from powa_collector.audit_log
where at < pg_catalog.now() - interval '90 days'
or id <= (select pg_catalog.max(id) - $1 from powa_collector.audit_log)
