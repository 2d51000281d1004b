#!/usr/bin/env bash
# The programs that judge our signatures in the tests, and tokens to sign with: installs those that are missing, before any test starts.
set -euo pipefail

missing=()
while read -r file package; do
  command -v "$file" >/dev/null || compgen -G "$file" >/dev/null || missing+=("$package")
done <<'PEERS'
osslsigncode osslsigncode
unzip unzip
zip zip
7zz 7zip
chromium chromium
sbverify sbsigntool
gcab gcab
cabextract cabextract
msiinfo msitools
makensis nsis
wixl wixl
openssl openssl
curl curl
softhsm2-util softhsm2
pkcs11-tool opensc
zsh zsh
fish fish
gcc gcc
p11-kit p11-kit
/usr/lib/*/p11-kit-proxy.so p11-kit-modules
certutil libnss3-tools
/usr/sbin/pkcsslotd opencryptoki
swtpm swtpm
/usr/lib/*/libtss2-tcti-swtpm.so.0 libtss2-tcti-swtpm0
/usr/lib/*/libtss2-tcti-tabrmd.so.0 libtss2-tcti-tabrmd0
/usr/sbin/tpm2-abrmd tpm2-abrmd
dbus-daemon dbus-daemon
tpm2_getcap tpm2-tools
tpm2_ptool libtpm2-pkcs11-tools
/usr/lib/*/pkcs11/libtpm2_pkcs11.so libtpm2-pkcs11-1
/usr/sbin/pcscd pcscd
/usr/lib/pcsc/drivers/serial/libifdvpcd.so vsmartcard-vpcd
PEERS
[ ${#missing[@]} -gt 0 ] || exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo -n)
fi
if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
  echo "The tests need programs that are not installed. Run this once (Debian, Ubuntu):" >&2
  echo "  sudo apt-get update && sudo $install" >&2
  exit 1
fi
echo "installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
