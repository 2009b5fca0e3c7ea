-- No row: there is no such role, or the owner ($3) has as many tokens as one may have ($6).
insert into powa_collector.tokens (digest, name, owner, owner_oid, role, expires_at)
select $1, $2, r.rolname, r.oid, $4, pg_catalog.now() + pg_catalog.make_interval(secs => $5)
from pg_catalog.pg_roles r
where r.rolname = $3 and (
    select pg_catalog.count(*)
    from powa_collector.tokens
    where owner = $3 and expires_at > pg_catalog.now()) < $6
returning id, name, owner, role, created_at, expires_at, last_used_at
