delete from powa_servers
 where id > 0
   and id not in (select id from powa_servers where id > 0 order by id limit {number});

update powa_extension_config set enabled = false where srvid > 0 and extname not in ('powa', 'pg_stat_statements');

update powa_db_module_config set enabled = false where srvid > 0;

-- All servers are the same one: each would have the sessions to all of them.
update powa_module_config set enabled = false where srvid > 0 and module = 'pg_stat_activity';
