select db_module, query_source, tmp_table, dbnames
from {powa}.powa_db_functions($1, $2)
where operation = 'snapshot' and enabled and query_source is not null
order by priority, db_module
