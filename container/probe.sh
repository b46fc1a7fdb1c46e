#!/bin/sh
# Inside a container: is it shut off the way the check of the image says? Fails at what is not.
#   probe.sh USER
set -u
failed=0

claim() { # WHAT COMMAND...
    what=$1
    shift
    if "$@" >/dev/null 2>&1; then echo "  $what: yes"; else echo "  $what: NO" && failed=1; fi
}
can_write() { (: >"$1/.probe") && rm "$1/.probe"; }
cannot_write() { ! can_write "$1"; }
only_loopback() { [ "$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ')" = lo ]; }
no_route() { [ -r /proc/net/route ] && [ "$(wc -l </proc/net/route)" -le 1 ]; }
small_tmp() { [ "$(df -k /tmp | awk 'NR == 2 { print $2 }')" = 65536 ]; }
bare_user() { [ "$(id -u)" = "$1" ] && ! grep -q "^[^:]*:[^:]*:$1:" /etc/passwd; }
no_home() { [ -z "${HOME+set}" ]; }
no_privilege() { grep -q '^CapEff:[[:space:]]*0*$' /proc/self/status; }
read_only_root() { awk '$2 == "/" { last = $4 } END { exit last !~ /^ro(,|$)/ }' /proc/mounts; }

claim "the root is mounted read-only" read_only_root
for folder in / /opt/bids_strip /usr /var /data /root; do
    claim "$folder cannot be written" cannot_write "$folder"
done
claim "/out can be written" can_write /out
claim "user $1, whom /etc/passwd does not know" bare_user "$1"
claim "no capabilities" no_privilege
claim "HOME is unset" no_home
claim "no network interface but loopback" only_loopback
claim "no route" no_route
claim "/tmp holds 64 MB" small_tmp
exit "$failed"
