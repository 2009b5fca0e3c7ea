-- The token of a digest, if it has not expired. Its last use is recorded once a minute at most.
with used as (
    update powa_collector.tokens
    set last_used_at = pg_catalog.now()
    where digest = $1 and expires_at > pg_catalog.now()
    and (last_used_at is null or last_used_at < pg_catalog.now() - interval '1 minute'))
select id, name, owner, role, created_at, expires_at, last_used_at
from powa_collector.tokens t
where digest = $1 and expires_at > pg_catalog.now()
-- A role that was dropped and created again has no tokens.
and exists (select from pg_catalog.pg_roles r where r.oid = t.owner_oid and r.rolname = t.owner)
