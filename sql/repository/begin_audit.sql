-- Written before the change, so that a crash leaves a trace of it.
insert into powa_collector.audit_log (role, token, client, action, srvid, details, error)
values ($1, $2, $3, $4, $5, $6::text::jsonb, $7)
returning id
