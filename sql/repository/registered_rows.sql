select id, hostname, port, username, password, dbname, frequency, alias
from {powa}.powa_servers
where id > 0
order by id
