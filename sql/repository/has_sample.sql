-- Whether a history has the sample of this time, current or coalesced.
select exists (select from {powa}.{current} h where h.srvid = $1 and (h.record).ts = $2::text::timestamptz)
    or exists (
        select from {powa}.{coalesced} h, pg_catalog.unnest(h.records) r
        where h.srvid = $1 and h.coalesce_range @> $2::text::timestamptz and r.ts = $2::text::timestamptz
    )
