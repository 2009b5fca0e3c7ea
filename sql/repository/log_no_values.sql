-- Keeps values of statements and quoted rows of errors out of the log in this transaction, if the role may set that:
-- either may contain a password.
select case when pg_catalog.current_setting('is_superuser') = 'on' then
    pg_catalog.concat(
        pg_catalog.set_config('log_error_verbosity', 'terse', true),
        case when pg_catalog.current_setting('log_parameter_max_length', true) is not null
            then pg_catalog.set_config('log_parameter_max_length', '0', true) end) end
