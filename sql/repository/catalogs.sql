select catname, query_source, tmp_table, excluded_dbnames
from {powa}.powa_catalog_functions($1, $2, '1 year')
where query_source is not null
order by catname
