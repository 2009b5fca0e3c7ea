-- The first version of the collector's own schema. Tables refer to powa_servers by id and have no foreign key to it, so that
-- PoWA can be updated, and dropped, as without this schema; the collector deletes rows of servers that are gone.
create schema powa_collector;
comment on schema powa_collector is 'Tables of powa-collector: schedules, tokens, tags, errors and audit log';

create table powa_collector.schema_version (
    version integer primary key,
    applied_at timestamptz not null default pg_catalog.now()
);

-- When a server is collected, if not by its frequency. Without cron, the row is a pause only.
create table powa_collector.schedules (
    srvid integer primary key,
    cron text,
    -- A name of the IANA time zone database.
    time_zone text,
    -- Nothing is collected before.
    start_at timestamptz,
    -- Nothing is collected until then; the frequency or the schedule is kept.
    paused_until timestamptz,
    changed_at timestamptz not null default pg_catalog.now(),
    changed_by text not null default current_user,
    check ((cron is null) = (time_zone is null))
);

create table powa_collector.tags (
    srvid integer,
    key text check (key <> ''),
    value text not null,
    primary key (srvid, key)
);

-- Bearer tokens of the HTTP API. The token itself is shown once, and not stored.
create table powa_collector.tokens (
    id bigint generated always as identity primary key,
    -- SHA-256 of the token.
    digest bytea not null unique check (pg_catalog.octet_length(digest) = 32),
    name text not null,
    -- The role that created it. The token may never do more than this role may at the time of a request.
    owner text not null,
    -- Its OID: another role may get the same name later.
    owner_oid oid not null,
    role text not null check (role in ('viewer', 'operator', 'admin')),
    created_at timestamptz not null default pg_catalog.now(),
    expires_at timestamptz not null,
    last_used_at timestamptz
);

-- Changes that were requested by the HTTP API, whether they were carried out or refused.
create table powa_collector.audit_log (
    id bigint generated always as identity primary key,
    at timestamptz not null default pg_catalog.now(),
    role text not null,
    -- The name of the token, if there was one.
    token text,
    -- The address and port of the client.
    client text not null,
    action text not null,
    srvid integer,
    details jsonb,
    -- Null if it was carried out.
    error text
);
create index on powa_collector.audit_log (at);

-- Errors of servers, each kept once with its first and last time.
create table powa_collector.errors (
    id bigint generated always as identity primary key,
    srvid integer not null,
    message text not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    number bigint not null default 1
);
create index on powa_collector.errors (srvid, last_at);
