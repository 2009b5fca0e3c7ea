select case
    when exists (select from {powa}.powa_extensions where extname = $2)
    then {powa}.powa_deactivate_extension($1, $2)
    when exists (select from {powa}.powa_modules where module = $2)
    then {powa}.powa_deactivate_module($1, $2)
    when exists (select from {powa}.powa_db_modules where db_module = $2)
    then {powa}.powa_deactivate_db_module($1, $2)
    else false end
