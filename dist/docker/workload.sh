#!/bin/sh
# workload.sh HOST...: runs a light load on the applications' databases of these servers.
set -eu

for host in "$@"; do
    pgbench --host="$host" --username=application --no-vacuum --builtin=select-only --rate=5 --time=2000000 library &
    pgbench --host="$host" --username=application --no-vacuum --client=4 --rate=10 --time=2000000 shop &
done
wait
