-- Whether the function of pg_track_settings that stores settings of roles fails without any settings, and has failed in
-- the last snapshot of a server.
select exists (
    select from {powa}.powa_snapshot_metas m, pg_catalog.unnest(m.errors) error
    where error like '%pg_track_settings_snapshot_rds%'
) and exists (
    select
    from pg_catalog.pg_extension e
    join pg_catalog.pg_depend d on d.refobjid = e.oid and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
        and d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.deptype = 'e'
    join pg_catalog.pg_proc p on p.oid = d.objid
    where e.extname = 'pg_track_settings' and p.proname = 'pg_track_settings_snapshot_rds'
    and p.prosrc ~ 'SELECT max\(ts\) INTO _snap_ts'
)
