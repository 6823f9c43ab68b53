# To be read by a shell whose directory is the checkout's: from then on `node` is the one of the npm packages, which
# Holdfast was tested with. By its path: npm before 11.5 leaves out the link node_modules/.bin/node, because the package
# for another architecture, which it rightly leaves out, has a link of that name too.
for node_package in node_modules/node-linux-*; do
  if "$node_package/bin/node" --version >/dev/null 2>&1; then
    PATH=$PWD/$node_package/bin:$PATH
    export PATH
    node_package=''
    break
  fi
done
if [ -n "$node_package" ]; then
  echo "There is no node_modules/node-linux-*/bin/node that runs on this machine ($(uname -sm))." >&2
  echo "First: sh appliance/set-up.sh. Holdfast runs on Linux with x64 or arm64; npm must not omit optional packages." >&2
  exit 1
fi
unset node_package
