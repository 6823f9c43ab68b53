#!/bin/sh
# build-debian-host.sh FILE [PACKAGES]: a tar of the root tree of a small Debian 12 with systemd and sshd, unless one is there
# that is newer than this script. What hostnamectl, networkctl and their like need is in it too, and qemu-utils.
# PACKAGES: with commas in between, are in it as well.
set -eu
[ ! "$1" -nt "$0" ] || exit 0
mmdebstrap --quiet --variant=minbase \
  --include=systemd-sysv,openssh-server,openssh-client,dbus,iproute2,iputils-ping,systemd-timesyncd,systemd-resolved,tzdata,e2fsprogs,xfsprogs,fdisk,console-setup,qemu-utils"${2:+,$2}" \
  --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' bookworm "$1.new.tar"
mv "$1.new.tar" "$1"
