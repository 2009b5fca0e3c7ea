# powa-collector as a user without rights. The program is built outside, see docker-compose.yml.
FROM debian:trixie-slim

# The program is linked with OpenSSL; sslrootcert=system looks into what ca-certificates has.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libssl3t64 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/powa-collector --create-home powa-collector

COPY powa-collector.conf-dist /etc/powa-collector.conf
# Built outside: "cargo build --release", or what a package has.
ARG PROGRAM=target/release/powa-collector
COPY ${PROGRAM} /usr/bin/powa-collector
# A program that was built for a newer system than this fails here, not later.
RUN powa-collector --version

USER powa-collector
ENTRYPOINT ["powa-collector"]
