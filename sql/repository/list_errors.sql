-- The errors of a server ($1), the latest first; after the one with the id $2, unless that is null; at most $3.
select e.id, e.message, e.first_at, e.last_at, e.number
from powa_collector.errors e
where e.srvid = $1
and ($2::bigint is null or (e.last_at, e.id) < (select a.last_at, a.id from powa_collector.errors a where a.id = $2))
order by e.last_at desc, e.id desc
limit $3
