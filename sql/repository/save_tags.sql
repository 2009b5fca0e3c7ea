insert into powa_collector.tags (srvid, key, value)
select $1, t.key, t.value
from rows from (pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[])) t (key, value)
on conflict (srvid, key) do update set value = excluded.value
