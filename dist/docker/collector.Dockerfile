# powa-collector as an unprivileged user. The program is built outside, see docker-compose.yml.
FROM debian:trixie-slim

# The program is linked with OpenSSL; sslrootcert=system needs ca-certificates.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libssl3t64 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/powa-collector --create-home powa-collector

COPY powa-collector.conf-dist /etc/powa-collector.conf
# Built outside: with "cargo build --release", or for a package.
ARG PROGRAM=target/release/powa-collector
COPY ${PROGRAM} /usr/bin/powa-collector
# A program that was built for a newer system fails here, not later.
RUN powa-collector --version

USER powa-collector
ENTRYPOINT ["powa-collector"]
