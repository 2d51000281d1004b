"""How outcomes are kept: equal parts once, and all of so many verified files."""

from __future__ import annotations

from dataclasses import replace

from kspsign.batch.kept import KEPT_WHOLE, Keeper
from kspsign.model.report import FileOutcome
from kspsign.model.values import Check, ErrorFacts, SignatureFacts, Verdict


def outcome(number: int, result: str = "verified") -> FileOutcome:
    """One file; nothing of it is shared with another one's."""
    passed = result == "verified"
    checks = (Check("signed", ok=True, detail="1 signature"), Check("digest", ok=passed, detail=f"{number:064x}"))
    return FileOutcome(
        f"{number}.dll", "pe", 2048, "0" * 64, "1" * 64, "signed" if passed else "failed",
        signatures=(SignatureFacts("AB" * 20, "CN=Example", "sha256", None),),
        verdict=Verdict("verified" if passed else "failed", checks),
        seconds={"verify": 0.5},
        error=None if passed else ErrorFacts("TRUST_E_BAD_DIGEST", "0x80096010", "changed", "Sign it again."),
    )  # fmt: skip


def test_what_is_kept_is_equal_and_its_parts_are_shared() -> None:
    keeper = Keeper()
    given = [outcome(1), outcome(2), outcome(3, "failed"), outcome(4, "failed")]
    kept = [keeper.kept(file) for file in given]
    assert kept == given
    first, second, third, fourth = kept
    assert second.signatures is first.signatures
    assert second.verdict.checks[0] is first.verdict.checks[0]
    assert fourth.error is third.error is not None


def test_further_verified_files_have_their_result_and_failures_their_checks() -> None:
    keeper = Keeper()
    for number in range(KEPT_WHOLE):
        kept = keeper.kept(outcome(number))
        assert len(kept.verdict.checks) == 2
    good, bad = outcome(KEPT_WHOLE), outcome(KEPT_WHOLE, "failed")
    assert keeper.kept(good) == replace(good, verdict=Verdict("verified", ()), seconds={})
    assert keeper.kept(bad) == bad
