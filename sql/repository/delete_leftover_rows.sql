-- Deletes a batch of left-over rows of a server, small so that a load of that server, which deletes them too, hardly
-- waits.
delete from only staging_table
where ctid = any (array(select ctid from only staging_table where srvid = $1 limit 10000))
returning 1
