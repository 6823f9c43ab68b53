#!/bin/sh
# npm run try [-- IMAGE]: from a fresh clone to a VM that boots straight out of its backup, in this
# terminal. Everything it makes is under var/ of the checkout; a second run goes on with it.
set -eu
image=${1-}
case $image in '' | /*) ;; *) image=${INIT_CWD:-$PWD}/$image ;; esac
cd "$(dirname "$0")/.."
[ $# -le 1 ] || { echo "usage: npm run try [-- IMAGE]" >&2; exit 2; }
if [ -n "$image" ] && [ ! -r "$image" ]; then
  echo "$image cannot be read: give the path of a disk image (raw, qcow2, vmdk, vdi, vhd, vhdx)." >&2
  exit 2
fi
if [ -z "$image" ] && [ "$(uname -m)" != x86_64 ]; then
  echo "The demo VM can be built on x86_64 only. Give a disk image of your own: npm run try -- /path/to/disk.qcow2" >&2
  exit 2
fi

sh appliance/set-up.sh
. appliance/node.sh
mkdir -p var
store=$PWD/var/store
secret=$PWD/var/passphrase
# Without it each command would strip and parse all that it loads anew.
export NODE_COMPILE_CACHE="$PWD/node_modules/.cache/holdfast"
holdfast() { node src/cli/main.ts "$@" --store "$store"; }
say() { printf '\n== %s\n' "$*"; }

if [ -z "$image" ]; then
  image=$PWD/var/demo-vm.raw
  if [ ! -e "$image" ]; then
    say "No image given: building a small Debian VM (about a minute)"
    sh appliance/build-demo-vm.sh "$image.tmp"
    mv "$image.tmp" "$image"
  fi
fi
machine=$(basename "$image" | sed 's/\.[^.]*$//; s/[^A-Za-z0-9_-]/-/g')

if [ ! -e "$store/holdfast-store.json" ]; then
  say "Making a store in var/store"
  holdfast store create
fi
if [ ! -e "$store/sets/demo/set.json" ]; then
  say "Making the encrypted backup set \"demo\"; its passphrase is in var/passphrase"
  (umask 077 && head -c 18 /dev/urandom | base64 >"$secret")
  holdfast set create demo --encrypt --passphrase-file "$secret"
fi

say "Backing up $image as machine \"$machine\""
holdfast backup create demo --machine "$machine" --disk vda="$image" --passphrase-file "$secret"

say "Booting its newest recovery point in this terminal"
echo "What the VM writes goes to an overlay beside the backup. To end it: shut it down from inside,"
echo "or press Ctrl-A, then X."
holdfast recover "demo/$machine@latest" --boot --passphrase-file "$secret" || status=$?

say "What now"
holdfast session list
cat <<END

The recovery point is unchanged; what the VM wrote is in the session listed above.

  npm run -s holdfast -- recover --resume SESSION --boot   continue it
  npm run -s holdfast -- session keep SESSION              make it a new recovery point
  npm run -s holdfast -- session discard SESSION           throw it away

each with:  --store var/store --passphrase-file var/passphrase
END
exit "${status-0}"
