-- Errors of servers: an error that a server has had before gets the new time and number, another one a row.
with new as (
    select *
    from rows from (
        pg_catalog.unnest($1::integer[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::timestamptz[]),
        pg_catalog.unnest($4::timestamptz[]), pg_catalog.unnest($5::bigint[])
    ) as n (srvid, message, first_at, last_at, number)
), known as (
    update powa_collector.errors e
    set last_at = greatest(e.last_at, n.last_at), number = e.number + n.number
    from new n
    where e.srvid = n.srvid and e.message = n.message
    returning e.srvid, e.message)
insert into powa_collector.errors (srvid, message, first_at, last_at, number)
select n.srvid, n.message, n.first_at, n.last_at, n.number
from new n
where not exists (select from known k where k.srvid = n.srvid and k.message = n.message)
