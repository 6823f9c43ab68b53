#!/bin/sh
# Runs a libvirtd with directories of its own, all of them in $1: in a mount namespace, where they cover this machine's,
# and in a process namespace, so that all that it starts goes with it, and with a network of its own. This machine's cgroups and D-Bus are out of reach.
set -eu
directory=$1
case ${2-} in
  '')
    # What started this holds the other end of its input: once that is closed all of it goes, however the starter ended.
    exec unshare --mount --pid --net --fork --kill-child --mount-proc sh "$0" "$directory" inner
    ;;
  inner)
    # With the owner that the covered one has.
    cover() {
      [ -d "$2" ] || return 0
      chown --reference="$2" "$directory/$1"
      chmod --reference="$2" "$directory/$1"
      mount --bind "$directory/$1" "$2"
    }
    cover run /run
    cover etc /etc/libvirt
    cover lib /var/lib/libvirt
    cover log /var/log/libvirt
    cover cache /var/cache/libvirt
    cover tpm /var/lib/swtpm-localca
    # Emulation only: where libvirt-qemu may not open it, libvirtd asks QEMU again and again what it can.
    if [ -e /dev/kvm ]; then
      (umask 777 && : >"$directory/kvm")
      mount --bind "$directory/kvm" /dev/kvm
    fi
    # A network that leads nowhere.
    ip link set lo up
    ip link add holdfast0 type bridge && ip link set holdfast0 up
    umount -R -l /sys/fs/cgroup 2>/dev/null || true
    exec 3<&0 </dev/null
    libvirtd --daemon
    # Waits for the end of that input, and for all that lost its parent: a process that nothing has waited for still
    # counts as a running one for libvirtd.
    cat <&3 >/dev/null &
    wait $!
    kill -KILL -1
    rm -rf "$directory"
    ;;
esac
