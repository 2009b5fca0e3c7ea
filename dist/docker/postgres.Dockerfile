# PostgreSQL with PoWA's extensions, for the repository and for the remote servers of docker-compose.yml.
FROM debian:trixie-slim

# The package would create a cluster, which is not used here.
RUN mkdir /etc/postgresql-common \
    && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 apt-get install --yes --no-install-recommends \
        postgresql-17 \
        postgresql-17-hypopg \
        postgresql-17-pg-qualstats \
        postgresql-17-pg-stat-kcache \
        postgresql-17-pg-track-settings \
        postgresql-17-pg-wait-sampling \
        postgresql-17-powa \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner=postgres --group=postgres --mode=0700 /data

ENV PATH=/usr/lib/postgresql/17/bin:$PATH
COPY dist/docker/postgres.sh dist/docker/workload.sh /usr/local/bin/
COPY dist/docker/repository.sql dist/docker/remote.sql /usr/local/share/

USER postgres
# PostgreSQL's fast shutdown, which does not wait for clients.
STOPSIGNAL SIGINT
ENTRYPOINT ["postgres.sh"]
