-- "powa" is an alias for all modules, which may be partly enabled, so its state is null.
select case when $2 <> 'powa' then
    exists (select from {powa}.powa_extension_config where srvid = $1 and extname = $2 and enabled)
    or exists (select from {powa}.powa_module_config where srvid = $1 and module = $2 and enabled)
    or exists (select from {powa}.powa_db_module_config where srvid = $1 and db_module = $2 and enabled) end
