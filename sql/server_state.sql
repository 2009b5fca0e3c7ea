-- Whether the server is a standby, and whether its transactions are read-only by default, apart from the settings of
-- this session.
select
    pg_catalog.pg_is_in_recovery(),
    (
        select reset_val::boolean
        from pg_catalog.pg_settings
        where name operator(pg_catalog.=) 'default_transaction_read_only'
    )
