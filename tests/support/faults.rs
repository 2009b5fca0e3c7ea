//! Faults that are plain SQL: PoWA's source functions, made to do something else.

/// Replaces what a function does; quotes in `body` are doubled.
pub fn replacing(function: &str, body: &str) -> String {
    format!(
        "do $replace$ declare definition text; begin
            select pg_get_functiondef(oid) into definition from pg_proc where proname = '{function}';
            execute regexp_replace(definition, 'AS \\$.*', '') || ' AS $body$ begin {body} end $body$';
        end $replace$"
    )
}

/// Replaces a function by one that fails.
pub fn raising(function: &str, message: &str) -> String {
    replacing(function, &format!("raise ''{message}'';"))
}
