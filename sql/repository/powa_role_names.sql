-- PoWA 5's roles and their names; none if they were not set up.
select p.powa_role::text, p.rolname::text
from {powa}.powa_roles p
join pg_catalog.pg_roles g on g.rolname = p.rolname
