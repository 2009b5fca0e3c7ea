-- Those of one owner ($1), or of all if that is null; after an id ($2), at most $3.
select id, name, owner, role, created_at, expires_at, last_used_at
from powa_collector.tokens
where ($1::text is null or owner = $1) and id > $2 and expires_at > pg_catalog.now()
order by id
limit $3
