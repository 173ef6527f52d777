#!/bin/sh
# An operator's first day on a clean machine, as docs/deploying.md and docs/operating.md have it: run
# by image-check.sh inside the root, with the wheel. Ends at the first thing that is not as it says.
set -eu
wheel=$1
as_service() { setpriv --reuid threadline --regid threadline --init-groups "$@"; }
as_nobody() { setpriv --reuid nobody --regid nogroup --clear-groups "$@"; }
# What a command says when it refuses.
refusal() { if "$@" > /tmp/said 2>&1; then echo "walk.sh: not refused: $*" >&2; exit 1; else cat /tmp/said; fi; }
cd /
/deploy/install.sh "$wheel"
[ "$(stat -c '%a %U' /var/lib/threadline)" = "700 threadline" ]
[ "$(stat -c '%a %U %G' /etc/threadline/threadline.toml)" = "640 root threadline" ]

# Not by the function, whose shell would get the signal.
setpriv --reuid threadline --regid threadline --init-groups threadline serve 2> /tmp/serve.log &
server=$!
for _ in $(seq 600); do grep -q '"ready"' /tmp/serve.log && break; sleep 0.2; done
as_service threadline project create shop --origin https://shop.example --json > /tmp/keys.json
as_service threadline project list 2>&1 | grep "(data folder /var/lib/threadline, settings from /etc/threadline/threadline.toml)"
for command in "key list" "jobs" "dead-letter list" "receipts" "upgrade --check" "dashboard login-link"; do
    as_service threadline $command > /dev/null
done
as_service threadline doctor
refusal threadline project list | grep "sudo -u threadline threadline project list"
refusal as_nobody threadline key list | grep "sudo -u threadline"
kill "$server"
wait "$server"

first=$(readlink /opt/threadline/current)
/deploy/install.sh "$wheel"
[ "$(readlink /opt/threadline/previous)" = "$first" ]
/deploy/install.sh --back
[ "$(readlink /opt/threadline/current)" = "$first" ]
as_service threadline --version
as_service threadline doctor > /dev/null
echo "walk.sh: all is as the documentation says"
