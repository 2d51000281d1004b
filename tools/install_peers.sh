#!/usr/bin/env bash
# The programs that judge our signatures in the tests: installs those that are missing, before any test starts.
set -euo pipefail

missing=()
while read -r program package; do
  command -v "$program" >/dev/null || missing+=("$package")
done <<'PEERS'
osslsigncode osslsigncode
sbverify sbsigntool
gcab gcab
cabextract cabextract
msiinfo msitools
makensis nsis
wixl wixl
openssl openssl
softhsm2-util softhsm2
pkcs11-tool opensc
zsh zsh
fish fish
gcc gcc
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
