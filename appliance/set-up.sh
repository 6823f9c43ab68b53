#!/bin/sh
# Installs what Holdfast needs on Debian and the packages of this checkout. Silent and quick when
# nothing is missing, so that every command of the README can begin with it.
#
#   set-up.sh            to back up, recover and try
#   set-up.sh --tests    and the programs of other people that the tests compare with
#   set-up.sh --list ... only names the Debian packages
set -eu
cd "$(dirname "$0")/.."

list=''
if [ "${1-}" = --list ]; then
  list=1
  shift
fi
architecture=$(dpkg --print-architecture 2>/dev/null || echo amd64)
# qemu-utils reads foreign disk images, qemu-system-x86 boots recovery points, the others build the demo VM.
wanted='qemu-utils qemu-system-x86 mmdebstrap mtools dosfstools fdisk e2fsprogs'
# That is an amd64 machine, and Debian has its boot loader there only.
if [ "$architecture" = amd64 ]; then wanted="$wanted syslinux syslinux-common"; fi
# For the files in a machine's disks: NTFS, copying, zip, and LVM and the like in a VM of its own (libguestfs).
wanted="$wanted ntfs-3g rsync libarchive-tools libguestfs-tools"
if ! ls /boot/vmlinuz-* >/dev/null 2>&1; then
  # That VM runs a kernel of this host; containers have none.
  wanted="$wanted linux-image-cloud-$architecture"
fi
if [ "${1-}" = --tests ]; then
  # The last three build a guest with a real NFS client.
  wanted="$wanted libnbd-bin nbdkit fio openssl libnfs-utils qemu-block-extra busybox-static cpio kmod"
  # A terminal for the console, and what looks at the manual page.
  wanted="$wanted tmux man-db"
  # Another program's retention.
  wanted="$wanted restic"
  # Other hosts' client of the service.
  wanted="$wanted curl"
  # A hypervisor: its own look at the domains that are printed for it, and a libvirtd for the tests alone, with machines
  # that have UEFI, a TPM and a guest agent; a second client of it.
  wanted="$wanted libvirt-clients libvirt-daemon-system qemu-guest-agent ovmf swtpm swtpm-tools python3-libvirt"
  # Guests' disks with all kinds of file systems.
  wanted="$wanted xfsprogs btrfs-progs cryptsetup-bin acl attr unzip"
  # A Debian that boots as a container, to be installed on.
  wanted="$wanted systemd-container"
fi

if [ -n "$list" ]; then
  echo "$wanted"
  exit
fi

missing=''
if command -v dpkg-query >/dev/null; then
  for package in $wanted; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=absent
    [ "$status" = installed ] || missing="$missing $package"
  done
else
  echo "This is no Debian machine: the packages that Debian calls $wanted are yours to install." >&2
fi

if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ]; then
    root=''
  elif command -v sudo >/dev/null; then
    root='sudo'
  else
    echo "Holdfast needs Debian packages that are not installed. As root, run:" >&2
    echo "  apt-get update && apt-get install --no-install-recommends$missing" >&2
    exit 1
  fi
  echo "Installing the Debian packages$missing" >&2
  log=$(mktemp)
  # The tests start what they need themselves: a libvirtd that apt would start stays away.
  policy=/usr/sbin/policy-rc.d
  if [ "${1-}" = --tests ] && [ ! -e "$policy" ]; then
    # shellcheck disable=SC2064 # these words as they are now
    trap "$root rm -f $policy" EXIT
    trap 'exit 1' INT TERM
    printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
    $root chmod 755 "$policy"
  fi
  # shellcheck disable=SC2086 # lists of words on purpose
  if ! { $root apt-get update && $root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
    tail -n 30 "$log" >&2
    rm -f "$log"
    echo "apt-get could not install$missing (its last words are above)." >&2
    exit 1
  fi
  rm -f "$log"
fi

install_packages() {
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  # npm leaves the file alone when nothing changed; its age is what is compared below.
  touch node_modules/.package-lock.json
}

# A linked node_modules belongs to another checkout.
if [ ! -L node_modules ]; then
  if [ ! -e node_modules/.package-lock.json ] ||
    [ package-lock.json -nt node_modules/.package-lock.json ]; then
    echo "Installing the npm packages of package-lock.json" >&2
    install_packages
  fi
  # npm leaves out optional packages that want a newer Node than the one that npm runs with: Debian's is too old for
  # what parses the source in a test, and for the linter. The Node that was just installed is not.
  if [ "${1-}" = --tests ] && ! ls -d node_modules/@oxc-parser/binding-linux-* >/dev/null 2>&1; then
    echo "Installing them again with a newer Node: npm left some out, for which Node $(node --version) is too old" >&2
    newer=$(mktemp -d)
    (
      trap 'rm -rf "$newer"' EXIT
      . appliance/node.sh
      cp "$(command -v node)" "$newer/"
      # Debian's npm finds its parts there by a patch of Debian's Node.
      PATH=$newer:$PATH NODE_PATH=/usr/share/nodejs NODE_NO_WARNINGS=1
      export PATH NODE_PATH NODE_NO_WARNINGS
      install_packages
    )
  fi
fi

. appliance/node.sh
