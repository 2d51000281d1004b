"""The answer in words: one line or cell for each thing, shared by console and summary."""

from __future__ import annotations

from typing import Final

from kspsign.model.plurals import count
from kspsign.reconciliation.answer import Account, Answer, Result
from kspsign.reconciliation.facts import shown_day, shown_time, totals
from kspsign.reconciliation.key_logs.read import KeyLog
from kspsign.reconciliation.ledgers import ReadLedger
from kspsign.reconciliation.schema import SignatureRecord, UseRecord
from kspsign.reconciliation.tables import Match, Reason

_NAMED: Final = 20
MATCH_WORDS: Final[dict[Match, str]] = {
    "none": "by nothing",
    "digest": "by digest",
    "request-id": "by request id",
    "time-window": "by time window",
}
REASON_WORDS: Final[dict[Reason, str]] = {
    "": "",
    "unknown": "no ledger knows it",
    "again": "the signature was made once more than the ledgers say",
    "other-digest": "the ledger has another digest for this request",
    "refused-ledger": "only a ledger with a broken chain knows it",
    "repeated": "the record was exported twice",
}
RESULT_WORDS: Final[dict[Result, str]] = {
    "accounted": "every use of the key is accounted for",
    "unaccounted": "UNACCOUNTED",
    "missing": "the log LACKS signatures",
    "incomplete": "NOT ALL was compared",
}


def verdict(found: Answer) -> str:
    """The answer in one sentence."""
    counts = totals(found)
    whole = f"{count(counts['uses'], 'use')} of the key, {count(counts['signatures'], 'signature')}"
    said = _counted(
        (counts["unaccounted"], "use", "that no build accounts for"),
        (counts["missing"], "signature", "that the log lacks"),
        (counts["not_covered"], "signature", "that no log covers"),
        (counts["unreadable"], "unreadable record", ""),
        (counts["refused_ledgers"], "refused ledger", ""),
    )
    said += [f"--key {key}: no use and no signature is of a key with this name" for key in found.unknown_keys]
    if not counts["uses"] and not counts["signatures"]:
        said.append("nothing to compare")
    return f"{RESULT_WORDS[found.result]}: {'; '.join([*said, whole])}"


def matched_words(found: Answer) -> str:
    """How sure the matches are, and what was left aside."""
    counts = totals(found)
    said = [f"{number} {MATCH_WORDS[name]}" for name, number in counts["matched"].items() if number]  # type: ignore[index]  # its keys are those of Match
    aside = _counted(
        (counts["repeated"], "record", "exported twice"),
        (counts["outside"], "use", "outside the period or of other keys"),
        (counts["outside_signatures"], "signature", "outside the period or of other keys"),
        (counts["not_logged"], "lost signature", "that the key did not make"),
    )
    return ", ".join([*(said or ["none"]), *aside])


def _counted(*parts: tuple[int, str, str]) -> list[str]:
    """Each number that is not zero with its noun and what is said of it."""
    return [f"{count(number, noun)} {more}".rstrip() for number, noun, more in parts if number]


def ledger_words(facts: ReadLedger) -> str:
    """A ledger, and what is wrong with it."""
    if facts.accepted:
        return count(facts.uses, "signature")
    first = facts.faults[0]
    more = f", and {count(len(facts.faults) - 1, 'more fault')}" if len(facts.faults) > 1 else ""
    return f"REFUSED: line {first.line}: {first.message}{more}; none of its {count(facts.uses, 'signature')} counts"


def without_words(found: Answer) -> str:
    """The builds that attached no ledger: they signed nothing, or not with kspsign."""
    named = ", ".join(map(str, found.ledgers.without[:_NAMED]))
    more = f" and {len(found.ledgers.without) - _NAMED} more" if len(found.ledgers.without) > _NAMED else ""
    return f"builds without a ledger: {named}{more}"


def log_words(log: KeyLog) -> str:
    """A log, and what of it can't be read."""
    said = f"{log.format or 'no record'}: {count(log.records_read, 'record')}, {count(log.uses, 'use')}"
    said += f", {count(log.refused, 'refused request')}" if log.refused else ""
    if not log.unreadable:
        return said
    place, reason = log.named[0]
    more = f", and {log.unreadable - 1} more" if log.unreadable > 1 else ""
    return f"{said}; {log.unreadable} UNREADABLE: record {place}: {reason}{more}"


def use_words(use: UseRecord) -> str:
    """A use that no build accounts for."""
    who = f"by {use['caller'] or 'a caller that the log does not name'}"
    where = f" from {use['address']}" if use["address"] else ""
    request = f", request {use['request_id']}" if use["request_id"] else ""
    key = use["key"] or "a key that the log does not name"
    return f"{use['time']} {key} {who}{where}{request} ({use['log']}, record {use['place']}): {why_words(use)}"


def why_words(use: UseRecord) -> str:
    """Why no build accounts for a use."""
    about = f" ({place_words(use['signature'])})" if use["signature"] is not None else ""
    among = f"; one of {use['among'] + 1} uses near this time, and the log does not say which" if use["among"] else ""
    return f"{REASON_WORDS[use['reason']]}{about}{among}"


def signature_words(signature: SignatureRecord) -> str:
    """A signature that has no use in the log."""
    return f"{signature['asked']} {place_words(signature)} ({signature['outcome']}, {signature['ledger']})"


def place_words(signature: SignatureRecord) -> str:
    """The file and build of a signature."""
    build = f" of build {signature['build']}" if signature["build"] else ""
    return f"{signature['file'] or 'a file that the ledger does not name'}{build}"


def account_words(account: Account) -> str:
    """The counts of a pipeline or person."""
    outcomes = ", ".join(f"{number} {outcome}" for outcome, number in sorted(account.outcomes.items()))
    return f"{count(account.signatures, 'signature')} ({outcomes}), {account.uses} in the log"


def caller_words(caller: tuple[str, Account]) -> str:
    """The counts of a caller of the service."""
    name, account = caller
    return f"{name or 'not named'}: {count(account.uses, 'use')}, {account.unaccounted} unaccounted"


def coverage_words(found: Answer) -> list[str]:
    """The time that each log covers."""
    return [
        f"{scope or log_format}: {shown_time(first)} to {shown_time(last)}"
        for (log_format, scope), (first, last) in sorted(found.coverage.spans.items())
    ]


def days_words(found: Answer) -> list[tuple[str, ...]]:
    """A row for each day: uses, signatures, unaccounted, missing, not covered."""
    return [
        (
            shown_day(day),
            str(account.uses),
            str(account.signatures),
            str(account.unaccounted),
            str(account.missing),
            str(account.not_covered),
        )
        for day, account in sorted(found.days.items())
    ]
