-- Texts are cut beyond what is valid.
select t.srvid, pg_catalog.left(t.key::pg_catalog.text, 300) as key, pg_catalog.left(t.value::pg_catalog.text, 300) as value
from powa_collector.tags t
where exists (select from {powa}.powa_servers p where p.id = t.srvid)
order by t.srvid, t.key
