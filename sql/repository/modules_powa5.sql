select name, kind = 'extension' as is_extension, external, query_source, query_cleanup
from {powa}.powa_functions
where operation = 'snapshot' and enabled and srvid = $1 and query_source is not null
order by priority, name
