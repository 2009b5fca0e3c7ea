-- What changes with each change of the server's row. The row stays as it is until the end of the transaction; loads, which
-- lock its key only, go on.
select s.xmin::text
from {powa}.powa_servers s
where s.id = $1
for no key update
