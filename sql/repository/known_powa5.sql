select extname as name from {powa}.powa_extensions
union
select module from {powa}.powa_modules
union
select db_module from {powa}.powa_db_modules
order by name
