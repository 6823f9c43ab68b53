#!/bin/sh
# Boots the root tree $TREE with systemd-nspawn; the number of its process goes to $WORK/pid. Needs what these
# lines do: a cgroup2 of its own mount namespace (some hosts have only cgroup1), a group in it for systemd-nspawn to
# divide, and a terminal, without which systemd in there says nothing and hangs.
set -eu
group=/sys/fs/cgroup/holdfast-test-$(basename "$WORK")
case ${1-} in
  '')
    exec unshare --mount sh "$0" outer
    ;;
  outer)
    umount -R -l /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
    mkdir "$group"
    # Whoever started this holds the other end of its input: once that is closed the machine goes, however they ended.
    # What they write there is typed at the machine's console.
    exec 3<&0
    mkfifo "$WORK/keys"
    (cat <&3 >"$WORK/keys"; kill -KILL "$(cat "$group/supervisor/cgroup.procs")" 2>/dev/null) &
    script -qefc "sh '$0' inner" "$WORK/console" <"$WORK/keys" >/dev/null 2>&1 || true
    find "$group" -depth -type d -exec rmdir {} +
    ;;
  inner)
    # Told to keep its unit, systemd-nspawn ends with this code where the machine in it starts again.
    code=133
    while [ "$code" = 133 ]; do
      code=0
      sh "$0" machine || code=$?
    done
    ;;
  machine)
    echo $$ >"$group/cgroup.procs"
    echo $$ >"$WORK/pid"
    # shellcheck disable=SC2086 # a list of words
    exec systemd-nspawn --quiet --register=no --keep-unit --private-network --link-journal=no \
      --directory="$TREE" --machine=holdfast-test $BINDS --boot systemd.log_target=console
    ;;
esac
