-- "powa" is but another name for all modules, some of which may be active: that is not known as one thing.
select case when $2 <> 'powa' then
    exists (select from {powa}.powa_extension_config where srvid = $1 and extname = $2 and enabled)
    or exists (select from {powa}.powa_module_config where srvid = $1 and module = $2 and enabled)
    or exists (select from {powa}.powa_db_module_config where srvid = $1 and db_module = $2 and enabled) end
