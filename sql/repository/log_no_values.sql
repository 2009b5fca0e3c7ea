-- What is logged of statements leaves out their values in this transaction, and what is logged of errors the rows they are
-- about, if this role may say so: there may be a password in either.
select case when pg_catalog.current_setting('is_superuser') = 'on' then
    pg_catalog.concat(
        pg_catalog.set_config('log_error_verbosity', 'terse', true),
        case when pg_catalog.current_setting('log_parameter_max_length', true) is not null
            then pg_catalog.set_config('log_parameter_max_length', '0', true) end) end
