# powa-collector as a user without rights. The program is built outside, see docker-compose.yml.
FROM debian:trixie-slim AS client

# For the health check. Debian's psql comes with Perl, which chooses between versions of it: here there is one.
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-client

FROM debian:trixie-slim

# The program is linked with OpenSSL; sslrootcert=system looks into what ca-certificates has. The others are for psql.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libpq5 libreadline8t64 libssl3t64 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/powa-collector --create-home powa-collector

COPY --from=client /usr/lib/postgresql/*/bin/psql /usr/bin/
COPY powa-collector.conf-dist /etc/powa-collector.conf
COPY target/release/powa-collector /usr/bin/
# A program that was built for a newer system than this fails here, not later.
RUN powa-collector --version && psql --version

USER powa-collector
ENTRYPOINT ["powa-collector"]
