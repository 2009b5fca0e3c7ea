# powa-web, which shows the history.
FROM debian:trixie-slim

# The first two numbers of powa-web's version must be those of the package postgresql-17-powa.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3-psycopg2 python3-tornado python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv --system-site-packages /opt/powa-web \
    && /opt/powa-web/bin/pip install --no-cache-dir 'powa-web==5.0.*'

COPY dist/docker/powa-web.conf /etc/

USER nobody
ENTRYPOINT ["/opt/powa-web/bin/powa-web"]
