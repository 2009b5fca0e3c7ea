#!/bin/sh
# postgres.sh FILE [OPTION...]: starts PostgreSQL with these options. The first time, it creates the cluster and runs
# the SQL file before other clients can connect.
set -eu
sql=/usr/local/share/$1
shift

if ! [ -d /data/cluster ]; then
    # An incomplete cluster of an interrupted start is removed.
    rm -rf /data/partial
    initdb --pgdata=/data/partial --auth-local=peer --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
    echo 'host all all all scram-sha-256' >> /data/partial/pg_hba.conf
    pg_ctl --pgdata=/data/partial --wait --options="$* -c listen_addresses=" start
    psql --no-psqlrc --quiet --output=/dev/null --set=ON_ERROR_STOP=1 --file="$sql" postgres
    pg_ctl --pgdata=/data/partial --wait stop
    mv /data/partial /data/cluster
fi
exec postgres -D /data/cluster -c 'listen_addresses=*' "$@"
