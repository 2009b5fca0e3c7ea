# powa-collector as a user without rights. The program is built outside, see docker-compose.yml.
FROM debian:trixie-slim

# psql is for the health check.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/powa-collector --create-home powa-collector

COPY powa-collector.conf-dist /etc/powa-collector.conf
COPY target/release/powa-collector /usr/bin/
# A program that was built for a newer system than this fails here, not later.
RUN powa-collector --version

USER powa-collector
ENTRYPOINT ["powa-collector"]
