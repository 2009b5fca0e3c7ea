-- What is logged of statements leaves out their values in this transaction, if this role may say so.
select case
    when pg_catalog.current_setting('is_superuser') = 'on'
        and pg_catalog.current_setting('log_parameter_max_length', true) is not null
    then pg_catalog.set_config('log_parameter_max_length', '0', true) end
