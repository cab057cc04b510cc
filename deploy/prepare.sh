#!/usr/bin/env bash
# Makes everything secret that compose.production.yml needs, in the folder $1 (deploy/secrets): an authority and
# certificates, passwords, keys, and the rights of emberline's users as commands of Kafka. What is there
# stays, so after a failure, or for a new broker or worker, it runs again.
#
#   BROKERS, WORKERS  their names; a certificate names each, and 127.0.0.1 and localhost besides
#   OUTSIDE           further names under which clients reach the brokers, such as kafka.example
#   EMBERLINE         the program, where it is not on the PATH
#   DAYS              for which certificates are valid
#
# As root, files are given to the users of the containers, who alone may read them; other users keep them.
# An authority whose key lies in a folder is for one machine: in a company take certificates of its own.
set -euo pipefail
folder=${1:?the folder for the secrets, such as deploy/secrets}
emberline=${EMBERLINE:-emberline}
brokers=${BROKERS:-kafka-1 kafka-2 kafka-3}
workers=${WORKERS:-worker-1 worker-2}
days=${DAYS:-397}

for program in openssl "$emberline"; do
    command -v "$program" >/dev/null || { echo "there is no program $program here" >&2; exit 1; }
done
umask 077
mkdir -p "$folder"
cd "$folder"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# a file is written as a whole or not at all
secret() {
    [ -e "$1" ] || { openssl rand -hex 24 >"$scratch/made" && mv "$scratch/made" "$1"; }
}

new_key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
if [ ! -e ca.pem ]; then
    openssl req "${new_key[@]}" -x509 -days 3650 -subj '/CN=emberline authority' \
        -addext keyUsage=critical,keyCertSign,cRLSign \
        -keyout ca.key -out "$scratch/ca.pem" 2>"$scratch/said" || { cat "$scratch/said" >&2; exit 1; }
    mv "$scratch/ca.pem" ca.pem
fi

# certificate $1: .key, .pem with the certificate of the authority, and both in .both.pem, for Kafka
certificate() {
    local name=$1 names='' one
    shift
    [ ! -e "$name.both.pem" ] || return 0
    for one in "$name" "$@"; do
        case $one in
        *[!0-9.]*) names=$names,DNS:$one ;;
        *) names=$names,IP:$one ;;
        esac
    done
    {
        openssl req "${new_key[@]}" -subj "/CN=$name" -keyout "$scratch/key" -out "$scratch/request"
        printf '%s\n' "subjectAltName=${names#,}" 'basicConstraints=CA:FALSE' >"$scratch/extensions"
        printf '%s\n' 'subjectKeyIdentifier=hash' 'authorityKeyIdentifier=keyid' >>"$scratch/extensions"
        openssl x509 -req -in "$scratch/request" -CA ca.pem -CAkey ca.key -days "$days" \
            -set_serial "0x$(openssl rand -hex 16)" -extfile "$scratch/extensions" -out "$scratch/pem"
    } 2>"$scratch/said" || { cat "$scratch/said" >&2; exit 1; }
    mv "$scratch/key" "$name.key"
    cat "$scratch/pem" ca.pem >"$name.pem"
    cat "$name.key" "$name.pem" >"$scratch/both"
    mv "$scratch/both" "$name.both.pem"
}

# shellcheck disable=SC2086 # lists of names
for broker in $brokers; do certificate "$broker" localhost 127.0.0.1 ${OUTSIDE:-}; done
for worker in $workers; do certificate "$worker" localhost 127.0.0.1; done
certificate admin

for user in emberline emberline-topics emberline-producer emberline-operator grafana; do
    secret "$user.password"
done
[ -e cluster-id ] || openssl rand -base64 16 | tr '+/' '-_' | tr -d '=' >cluster-id

run() { "$emberline" --set keys_file=keys.json --set erasure_key_file=erasure.key "$@"; }
run keys add prometheus --scope metrics --if-missing --out metrics.key
run keys add operator --scope admin --if-missing --out operator.key
[ -e erasure.key ] || run keys erasure

# the roles of SECURITY.md, for the users above; brokers listen to the administrator at port 9093
acls() {
    run --bootstrap-servers "${brokers%% *}:9093" topics acls --role "$1" --principal "User:$2"
}
{
    echo '# The rights of the users of emberline. Made by prepare.sh, run by users.sh.'
    acls worker emberline
    acls setup emberline-topics
    acls producer emberline-producer
    # who runs `emberline import` too
    acls operator emberline-operator
    acls producer emberline-operator
} >"$scratch/rights.sh"
mv "$scratch/rights.sh" rights.sh

# the settings of an operator's commands on this machine: emberline --config FOLDER/operator.toml status
if [ ! -e operator.toml ]; then
    cat >"$scratch/operator.toml" <<END
bootstrap_servers = "127.0.0.1:19092,127.0.0.1:29092,127.0.0.1:39092"
kafka_security = "sasl_ssl"
kafka_ca_file = "$PWD/ca.pem"
kafka_sasl_mechanism = "SCRAM-SHA-512"
kafka_sasl_user = "emberline-operator"
kafka_sasl_password_file = "$PWD/emberline-operator.password"
erasure_key_file = "$PWD/erasure.key"
url = "https://127.0.0.1:6066"
http_ca_file = "$PWD/ca.pem"
api_key = "$(cat operator.key)"
END
    mv "$scratch/operator.toml" operator.toml
fi

if [ "$(id -u)" = 0 ]; then
    # users of the images: emberline 10001, Kafka 1000, Prometheus 65534, Grafana 472
    chmod 755 .
    chmod 644 ca.pem
    for worker in $workers; do chown 10001 "$worker.key" "$worker.pem"; done
    chown 10001 keys.json emberline.password emberline-topics.password erasure.key
    for broker in $brokers; do chown 1000 "$broker.both.pem"; done
    chown 1000 admin.both.pem cluster-id rights.sh
    chown 65534 metrics.key
    chown 472 grafana.password
fi
echo "$folder has all secrets. Keep a copy of erasure.key and keys.json, apart from the data."
