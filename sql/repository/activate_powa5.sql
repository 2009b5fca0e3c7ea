-- A database module that was limited to some databases is enabled for these again.
select case
    when exists (select from {powa}.powa_extensions where extname = $2)
    then {powa}.powa_activate_extension($1, $2)
    when exists (select from {powa}.powa_modules where module = $2)
    then {powa}.powa_activate_module($1, $2)
    when exists (select from {powa}.powa_db_modules where db_module = $2)
    then {powa}.powa_activate_db_module($1, $2, (
        select dbnames from {powa}.powa_db_module_config where srvid = $1 and db_module = $2))
    else false end
