"""What `signtool /?` and `signtool COMMAND /?` print: the options that kspsign takes, and those that it refuses."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Final

from kspsign.cli.signtool.grammar import OPTIONS

_SUMMARIES: Final[Mapping[str, str]] = {
    "sign": "Sign files with an embedded signature, and verify each before it takes its file's place.",
    "timestamp": "Add RFC 3161 timestamps to signatures that lack one.",
    "verify": "Verify embedded signatures strictly, every signature of a file.",
    "remove": "Take signatures out of files.",
}
_TEXTS: Final[Mapping[str, str]] = {
    "a": "Choose the certificate that is valid longest (sign); look for a catalogue too (verify: there is none here).",
    "ac": "Add a certificate from a file to the chain, where the key store does not know it; repeatable.",
    "all": "Verify and show all signatures.",
    "as": "Append this signature.",
    "c": "verify: catalogue file. remove: certificates other than the signer's.",
    "ca": "Thumbprint of an intermediate certificate that must be in the chain; repeatable.",
    "csp": "Name of the key storage provider, exactly as registered.",
    "d": "sign: description of the content. verify: show it.",
    "debug": "Show how the certificate was chosen, and every remote call.",
    "dlib": "Azure.CodeSigning.Dlib.dll, in any folder: Azure Artifact Signing.",
    "dmdf": "Metadata file (JSON) of /dlib.",
    "ds": "Verify and show the signature at this index.",
    "du": "URL of the description.",
    "f": "Certificate file, or .pfx file with the key.",
    "fd": "Digest of the file: SHA256, SHA384, SHA512, or certHash.",
    "hash": "Digest to look for in the catalogue of /c: the catalogue decides.",
    "i": "Part of the issuer's name.",
    "kc": "Key in the provider: alias, URL or resource name.",
    "ms": "Multiple verification semantics; the default.",
    "n": "Part of the subject's name.",
    "noenclavewarn": "No warnings of enclaves; there are none.",
    "nosealwarn": "No warnings of sealing; there are none.",
    "nph": "No page hashes; the default.",
    "o": "Version of Windows that a catalogue must be for.",
    "p": "Password of the .pfx file.",
    "pa": "Default Authenticode verification policy.",
    "pg": "Verification policy by GUID.",
    "ph": "Page hashes: sign them, or verify them, which kspsign always does.",
    "q": "No output on success.",
    "r": "Part of the root certificate's name.",
    "s": "sign: certificate store (MY). remove: the signatures themselves.",
    "sha1": "Thumbprint of the signing certificate.",
    "sm": "The machine's certificate store.",
    "t": "Refused: old timestamps are made with SHA-1. Use /tr.",
    "td": "Digest of the timestamp.",
    "tp": "Index of the signature to stamp.",
    "tr": "URL of an RFC 3161 timestamp server.",
    "tw": "Warn of a signature without timestamp.",
    "u": "sign, verify: extended key usage. remove: unsigned attributes (timestamps, further signatures).",
    "v": "Show certificate, chain and counts.",
}


def usage(command: str) -> Iterator[str]:
    """The lines for one command, or for all when `command` is empty."""
    if not command:
        yield "Usage: signtool <command> [options] or signtool @<response file>"
        yield ""
        yield "kspsign in SignTool's language. Valid commands:"
        for name, summary in _SUMMARIES.items():
            yield f"    {name:11}--  {summary}"
        yield ""
        yield 'For help on a command, enter "signtool <command> /?".'
        yield "Settings that SignTool has no option for are in the file that KSPSIGN_CONFIG names."
        return
    yield f"Usage: signtool {command} [options] <filename(s)>"
    yield ""
    yield _SUMMARIES[command]
    yield ""
    options = OPTIONS[command]
    for name in sorted({*(name for name, option in options.items() if not option.refused), "q", "v", "debug"}):
        value = " <value>" if name in options and options[name].values else ""
        first, *more = textwrap.wrap(_TEXTS[name], 60)
        yield f"{f'/{name}{value}':18}{first}"
        yield from (f"{'':18}{line}" for line in more)
    refused = sorted(f"/{name}" for name, option in options.items() if option.refused)
    if refused:
        yield ""
        yield from textwrap.wrap(f"Refused, each with its reason: {', '.join(refused)}", 78)
