-- PoWA 4 says yes to any name.
select exists (select from {powa}.powa_functions where srvid = $1 and module = $2)
    and {powa}.powa_deactivate_extension($1, $2)
