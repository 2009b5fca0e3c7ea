-- Databases with statements whose encoding differs from this one, and dropped databases that still have statements,
-- whose encoding is unknown.
select s.dbid, coalesce(d.datname, ''), coalesce(pg_catalog.pg_encoding_to_char(d.encoding)::text, '')
from (select distinct dbid from {pg_stat_statements}.pg_stat_statements(false)) s
left join pg_catalog.pg_database d on d.oid = s.dbid
where d.oid is null or pg_catalog.pg_encoding_to_char(d.encoding) <> pg_catalog.current_setting('server_encoding')
order by d.datname, s.dbid
