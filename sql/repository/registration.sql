-- The age is by the clock of the repository, like snapts; an infinite snapts has no age.
select case when pg_catalog.isfinite(snapts)
    then extract(epoch from pg_catalog.clock_timestamp() - snapts)::float8 end
from {powa}.powa_snapshot_metas
where srvid = $1
