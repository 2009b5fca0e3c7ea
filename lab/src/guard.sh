# Owns one server and its directory, for the process at the other end of standard input.
# Arguments: the directory to remove at the end, the server's log, the server's command line (without its port).
# Requests on standard input: "start PORT" (answer: the server's pid) and "stop SIGNAL" (answer: "stopped").
# When standard input ends, for whatever reason, the server is ended and the directory removed.

trap '' INT TERM HUP QUIT PIPE
directory=$1
log=$2
shift 2
server=

stop() {
    # Repeated, because a signal that arrives before PostgreSQL handles signals is lost.
    while [ -n "$server" ] && kill -s "$1" "$server" 2>/dev/null; do
        # A stopped server does not handle signals.
        kill -s CONT "$server" 2>/dev/null
        sleep 0.03
    done
    server=
}

while read -r request argument; do
    case $request in
    start)
        "$@" -c "port=$argument" </dev/null >>"$log" 2>&1 &
        server=$!
        echo "$server"
        ;;
    stop)
        stop "$argument"
        echo stopped
        ;;
    esac
done

stop QUIT
# An interrupted initdb may still be writing.
for _ in 1 2 3 4 5; do
    rm -rf -- "$directory" 2>/dev/null && break
    sleep 0.2
done
