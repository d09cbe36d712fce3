# Keeps a Collector that ends at work until its persistent queues are empty:
# `busybox sh drain.sh BUSYBOX PORT LOG DELAY BOUND LEAVE SETTLED BATCH`, times in seconds.
#
# It runs as the preStop hook in the Collector's container, whose image has no shell. It reads the Collector's own
# counters, at a PORT, each second. The queues are empty once they hold nothing and no span has come or gone for SETTLED
# seconds. Clients with a connection to this pod go on sending until the Collector ends the connection, which it does
# within LEAVE seconds if it has other replicas. Later only those are left that never leave, and what they send passes
# the queues: then less than a BATCH, of which each queue sends some each second, counts as empty too.
#
# It fails if the queues are not empty after BOUND seconds, or nothing answers. Kubernetes makes an event of that.
set -uf
busybox=$1 port=$2 log=$3 delay=$4 bound=$5 leave=$6 settled=$7 batch=$8

now() {
    read -r uptime _ </proc/uptime
    now=${uptime%%.*}
}

# Kubernetes keeps no output of a hook.
say() {
    echo "drain: $1" 2>/dev/null >"$log"
}

# Sets what waits in the queues, what came and what went; each is the sum of all exporters, or of all receivers. Sets
# too which exporters' queues hold something, each with what it has sent.
read_counters() {
    # Not by an option of wget: with -T, Debian's ends by a segmentation fault (1.35).
    url=http://127.0.0.1:$port/metrics
    # shellcheck disable=SC2046
    set -- $("$busybox" timeout 5 "$busybox" wget -q -O - "$url" 2>/dev/null | "$busybox" awk '
        function exporter() { match($0, /exporter="[^"]*"/); return substr($0, RSTART, RLENGTH) }
        /^otelcol_exporter_queue_size[{ ]/ { queued += $NF; queues++; if ($NF > 0) waits[exporter()] }
        /^otelcol_receiver_accepted_spans[{ ]/ { came += $NF }
        /^otelcol_exporter_sent_spans[{ ]/ { went += $NF; sent[exporter()] += $NF }
        END {
            if (queues) printf "%.0f %.0f %.0f", queued, came, went
            for (one in waits) printf " %s=%.0f", one, sent[one]
        }')
    queued=${1-} came=${2-} went=${3-}
    [ $# -lt 3 ] || shift 3
    waiting=$*
}

# Succeeds if a queue that holds something has sent nothing since the reading before.
stands_still() {
    for one in $waiting; do
        case " $waiting_before " in *" $one "*) return 0 ;; esac
    done
    return 1
}

"$busybox" sleep "$delay"
now
start=$now calm=0 silent=0 came_before='' went_before='' waiting_before=''
while :; do
    read_counters
    now
    if [ -z "$queued" ]; then
        silent=$((silent + 1)) calm=0
        # A Collector that hangs sends nothing.
        if [ "$silent" -ge 10 ]; then
            say 'the Collector does not answer; what its volume holds is not sent'
            exit 1
        fi
    else
        silent=0
        if [ "$queued" = 0 ] && [ "$came $went" = "$came_before $went_before" ]; then
            calm=$((calm + 1))
        elif [ $((now - start)) -ge "$leave" ] && [ "$queued" -lt "$batch" ] && ! stands_still; then
            calm=$((calm + 1))
        else
            calm=0
        fi
        came_before=$came went_before=$went waiting_before=$waiting
    fi
    if [ "$calm" -ge "$settled" ]; then
        say "the queues were empty after $((now - start)) s"
        exit 0
    fi
    if [ $((now - start)) -ge "$bound" ]; then
        say "the queues still hold ${queued:-an unknown amount} after $bound s, which stays on the volume"
        exit 1
    fi
    "$busybox" sleep 1
done
