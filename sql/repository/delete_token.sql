-- Of one owner ($2), or of any if that is null.
delete from powa_collector.tokens
where id = $1 and ($2::text is null or owner = $2)
returning id
