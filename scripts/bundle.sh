#!/bin/bash
# Packs an archive that runs where it is unpacked: program, library, header, manual pages, examples,
# and the shared libraries they need other than the C library's own.
#
#     scripts/bundle.sh BUILD-FOLDER VERSION
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
name=tgraph-$2-linux-$(uname -m)
stage=build/$name
rm -rf "$stage"

${MAKE:-make} --no-print-directory install PREFIX="$PWD/$stage" DESTDIR= >/dev/null
# Found relative to the program; found relative to the .pc file.
sed -i 's|^prefix=.*|prefix=${pcfiledir}/../..|' "$stage/lib/pkgconfig/tgraph.pc"
cp -r examples README.md LICENSE CHANGELOG.md "$stage"

ldd "$build/tgraph" "$build/libtgraph.so" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u |
    grep -vE '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*)\.so' | while read -r library; do
    cp -L "$library" "$stage/lib/"
done
mv "$stage/bin/tgraph" "$stage/bin/.tgraph"
cat >"$stage/bin/tgraph" <<'LAUNCH'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
LD_LIBRARY_PATH="$here/../lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$here/.tgraph" "$@"
LAUNCH
chmod +x "$stage/bin/tgraph"

tar -C build -czf "build/$name.tar.gz" "$name"
rm -rf "$stage"
echo "build/$name.tar.gz"
