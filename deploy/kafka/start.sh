#!/usr/bin/env bash
# Formats the folder of a broker when it starts for the first time, and becomes the broker.
#
#   NAME     of this broker, one of BROKERS
#   BROKERS  all of them, such as "kafka-1 kafka-2 kafka-3": names that the others reach
#   OUTSIDE  HOST:PORT at which clients outside of the network of containers reach this broker
#   SECRETS, DATA, KAFKA, CONFIG  folders; BIND an address to listen at. The defaults are those of a container
set -euo pipefail
secrets=${SECRETS:-/run/secrets}
data=${DATA:-/var/lib/kafka/data}
kafka=${KAFKA:-/opt/kafka}
config=${CONFIG:-/etc/emberline/kafka}
bind=${BIND:-}
: "${NAME:?}" "${BROKERS:?}" "${OUTSIDE:?}"

id='' number=0 voters='' super=User:CN=admin
for broker in $BROKERS; do
    number=$((number + 1))
    [ "$broker" = "$NAME" ] && id=$number
    voters=$voters,$number@$broker:9094
    super="$super;User:CN=$broker"
done
[ -n "$id" ] || { echo "NAME $NAME is none of BROKERS $BROKERS" >&2; exit 2; }

umask 077
properties=$(mktemp -d)/server.properties
{
    cat "$config/broker.properties"
    echo "node.id=$id"
    echo "controller.quorum.voters=${voters#,}"
    echo "listeners=CLIENTS://$bind:9092,BROKERS://$bind:9093,CONTROLLERS://$bind:9094,OUTSIDE://$bind:${OUTSIDE##*:}"
    echo "advertised.listeners=CLIENTS://$NAME:9092,BROKERS://$NAME:9093,OUTSIDE://$OUTSIDE"
    echo "super.users=$super"
    echo "ssl.keystore.location=$secrets/broker.pem"
    echo "ssl.truststore.location=$secrets/ca.pem"
    echo "log.dirs=$data"
} >"$properties"

"$kafka/bin/kafka-storage.sh" format --ignore-formatted "--cluster-id=$(cat "$secrets/cluster-id")" \
    --config "$properties"
exec "$kafka/bin/kafka-server-start.sh" "$properties"
