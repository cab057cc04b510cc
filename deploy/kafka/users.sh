#!/usr/bin/env bash
# Gives the users of emberline their passwords and their rights. It may run again and again.
#
#   BOOTSTRAP  address of a broker for brokers and the administrator
#   SECRETS, KAFKA  folders; the defaults are those of a container
set -euo pipefail
secrets=${SECRETS:-/run/secrets}
kafka=${KAFKA:-/opt/kafka}
: "${BOOTSTRAP:?}"

umask 077
scratch=$(mktemp -d)
cat >"$scratch/admin.properties" <<END
security.protocol=SSL
ssl.keystore.type=PEM
ssl.keystore.location=$secrets/admin.pem
ssl.truststore.type=PEM
ssl.truststore.location=$secrets/ca.pem
END

for user in emberline emberline-topics emberline-producer emberline-operator; do
    # by a file: everybody on a machine sees the arguments of its programs
    echo "SCRAM-SHA-512=password=$(cat "$secrets/$user.password")" >"$scratch/password"
    "$kafka/bin/kafka-configs.sh" --bootstrap-server "$BOOTSTRAP" \
        --command-config "$scratch/admin.properties" \
        --alter --entity-type users --entity-name "$user" --add-config-file "$scratch/password"
done

# each line of rights.sh calls kafka-acls.sh with --command-config admin.properties; four at once, because
# each starts a Java of its own
cd "$scratch"
export PATH=$kafka/bin:$PATH
started=()
finish() {
    for process in "${started[@]}"; do wait "$process"; done
    started=()
}
while read -r line; do
    case $line in '#'* | '') continue ;; esac
    bash -c "$line" </dev/null &
    started+=($!)
    [ ${#started[@]} -lt 4 ] || finish
done <"$secrets/rights.sh"
finish
