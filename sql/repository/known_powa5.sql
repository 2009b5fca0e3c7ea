-- "powa" is an alias for all modules.
select extname as name from {powa}.powa_extensions where extname operator(pg_catalog.<>) 'powa'
union
select module from {powa}.powa_modules
union
select db_module from {powa}.powa_db_modules
order by name
