#!/bin/sh
# build-debian-host.sh FILE: a tar of the root tree of a small Debian 12 with systemd and sshd, unless it is there.
set -eu
[ ! -e "$1" ] || exit 0
mmdebstrap --quiet --variant=minbase --include=systemd-sysv,openssh-server,openssh-client \
  --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' bookworm "$1.new.tar"
mv "$1.new.tar" "$1"
