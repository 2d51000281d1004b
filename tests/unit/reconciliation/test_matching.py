"""How uses and signatures are matched, and what is said of those that are not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, cast

import pytest

from kspsign.ledger.entries import KeyFacts
from kspsign.reconciliation.answer import Answer
from kspsign.reconciliation.facts import frame, items, totals, warnings
from kspsign.reconciliation.ledgers import key_names
from kspsign.reconciliation.schema import UseRecord
from kspsign.reconciliation.tables import MATCHES, REASONS
from kspsign.reconciliation.words import use_words, verdict
from support.key_logs.examples import VAULT_KEY, google_cloud, key_vault
from support.key_logs.stories import KEY, Story, moment, request_id

FILES = ("a.exe", "b.dll", "c.msi")
GOOGLE = KeyFacts(store="google-cloud-kms", alias=None, reference={"version": "projects/p/cryptoKeyVersions/1"})


def used(name: str, minutes: float = 0.0, run: object = 7) -> dict[str, object]:
    """The vault's record of a signature of a build."""
    return key_vault(request_id((run, name)), moment(minutes))


def digest_of(name: str) -> str:
    """What a build asked to sign for that file."""
    return hashlib.sha256(name.encode()).hexdigest()


def listed(found: Answer, name: str) -> list[dict[str, Any]]:
    """A list of the report."""
    content: list[dict[str, Any]] = json.loads(json.dumps([*items(found, name)]))
    return content


def edges() -> list[dict[str, object]]:
    """Records of other operations, so that the log covers the hour around."""
    return [key_vault(time=moment(minutes), operation="KeyGet") for minutes in (-30, 30)]


def reasons(found: Answer) -> list[str]:
    """Why each unaccounted use is unaccounted."""
    return [REASONS[found.matcher.uses.reason[number]] for number in found.unaccounted]


def matches(found: Answer) -> list[str]:
    """How each use was matched, in the order of the log."""
    return [MATCHES[match] for match in found.matcher.uses.match]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def test_every_use_by_its_request_id(story: Story) -> None:
    story.build(7, FILES)
    story.log([*edges(), *(used(name, 1) for name in FILES)])
    found = story.answer()
    assert (found.result, matches(found)) == ("accounted", ["request-id"] * 3)
    first = listed(found, "uses")[0]
    assert (first["match"], first["signature"]["file"]) == ("request-id", "a.exe")
    assert first["signature"]["build"] == "release 2026.7 (7), attempt 1"


def test_every_use_by_its_digest_whatever_the_clocks_say(story: Story) -> None:
    story.build(7, FILES, key=GOOGLE, requests=False)
    story.log([google_cloud(digest_of(name), moment(600)) for name in FILES])
    found = story.answer()
    assert (found.result, matches(found)) == ("accounted", ["digest"] * 3)
    (warning,) = warnings(found)
    assert warning.message.startswith("the clock of the log is 600 min ahead of that of a build")


def test_a_use_whose_digest_no_ledger_has_is_no_builds_though_it_was_at_the_time_of_one(story: Story) -> None:
    story.build(7, FILES, key=GOOGLE, requests=False)
    stolen = google_cloud(digest_of("malware.exe"), moment(0.5))
    story.log([stolen, *(google_cloud(digest_of(name), moment(1 + at)) for at, name in enumerate(FILES[:2]))])
    found = story.answer()
    assert (found.result, reasons(found)) == ("unaccounted", ["unknown"])
    assert len(found.missing) + len(found.not_covered) == 1


def test_uses_by_their_time_where_the_log_has_neither(story: Story) -> None:
    story.build(7, FILES, requests=False)
    story.log([*edges(), *(key_vault("", moment(2)) for _name in FILES[:1]), *[key_vault("x", moment(3))] * 1])
    story.log([{**key_vault("", moment(4)), "durationMs": "9"}], "more.json")
    found = story.answer()
    assert (found.result, matches(found)) == ("accounted", ["time-window"] * 3)


def test_one_use_too_many_within_a_window_is_one_of_them(story: Story) -> None:
    story.build(7, FILES[:2], requests=False)
    story.log([*edges(), *(key_vault("", moment(minutes)) for minutes in (0, 1, 2))])
    found = story.answer()
    assert (found.result, reasons(found)) == ("unaccounted", ["unknown"])
    (use,) = listed(found, "unaccounted")
    assert use["among"] == 2
    assert use_words(cast("UseRecord", use)).endswith(
        "no ledger knows it; one of 3 uses near this time, and the log does not say which"
    )


def test_beyond_the_skew_time_matches_nothing_and_the_distance_is_said(story: Story) -> None:
    story.build(7, FILES, requests=False)
    story.log([*edges(), *(key_vault("", moment(10 + at / 60)) for at in range(3))])
    found = story.answer()
    assert (found.result, len(found.unaccounted), len(found.missing)) == ("unaccounted", 3, 3)
    (warning,) = warnings(found)
    assert "would match if the clock of the log were 10 min ahead of that of the builds" in warning.message
    assert "--clock-skew 11m" in warning.remedy
    assert story.answer(clock_skew="11m").result == "accounted"


@pytest.mark.parametrize("requests", [False, True], ids=["one use alone", "ids that differ"])
def test_no_larger_skew_is_proposed_where_it_would_hide_a_theft(story: Story, requests: bool) -> None:
    files = FILES if requests else FILES[:1]
    story.build(7, files, requests=requests)
    story.log([*edges(), *(key_vault(f"stolen-{name}" if requests else "", moment(10)) for name in files)])
    found = story.answer()
    assert (found.result, len(found.missing), warnings(found)) == ("unaccounted", len(files), [])


def test_another_key_at_the_same_time_is_not_matched_by_time(story: Story) -> None:
    story.build(7, FILES[:1], requests=False)
    story.log([*edges(), key_vault("", moment(), key=VAULT_KEY.replace("code-signing", "other"))])
    found = story.answer()
    assert (found.result, len(found.missing)) == ("unaccounted", 1)
    assert story.answer(key=("code-signing",)).result == "missing"


def test_the_same_file_in_two_builds_needs_two_uses(story: Story) -> None:
    story.build(7, FILES[:1], key=GOOGLE, requests=False)
    story.build(8, FILES[:1], key=GOOGLE, requests=False, minutes=60)
    both = [google_cloud(digest_of("a.exe"), moment(minutes)) for minutes in (61, 1)]
    story.log(both)
    found = story.answer()
    assert found.result == "accounted"
    assert [record["signature"]["build"][:14] for record in listed(found, "uses")] == [
        "release 2026.8",
        "release 2026.7",
    ]
    story.log([google_cloud(digest_of("a.exe"), moment(30))], "third.json")
    found = story.answer()
    assert (found.result, reasons(found)) == ("unaccounted", ["again"])
    assert found.matcher.uses.times[found.unaccounted[0]] == pytest.approx(1772359200 + 1800)


def test_a_request_id_that_is_used_again_is_not_accounted_for(story: Story) -> None:
    story.build(7, FILES[:1])
    story.log([*edges(), used("a.exe", 1), {**used("a.exe", 9), "callerIpAddress": "203.0.113.66"}])
    found = story.answer()
    assert (found.result, reasons(found)) == ("unaccounted", ["again"])
    assert "the signature was made once more than the ledgers say (a.exe of build release 2026.7" in use_words(
        cast("UseRecord", listed(found, "unaccounted")[0])
    )


def test_another_digest_for_a_known_request_is_not_accounted_for(story: Story) -> None:
    story.build(7, FILES[:1], key=GOOGLE)
    story.log([google_cloud(digest_of("malware.exe"), moment(), reason=request_id((7, "a.exe")))])
    found = story.answer()
    assert reasons(found) == ["other-digest"]


def test_a_log_that_lacks_a_signature_is_said_to_lack_it(story: Story) -> None:
    story.build(7, FILES)
    story.log([*edges(), used("a.exe"), used("c.msi")])
    found = story.answer()
    assert (found.result, [record["file"] for record in listed(found, "missing")]) == ("missing", ["b.dll"])


def test_what_no_log_covers_is_not_missing_and_not_passed(story: Story) -> None:
    story.build(7, FILES, minutes=60)
    story.log(edges())
    found = story.answer()
    assert (found.result, len(found.missing), len(found.not_covered)) == ("incomplete", 0, 3)
    assert "3 signatures that no log covers" in verdict(found)
    assert story.answer(until=moment(30)).result == "accounted"


def test_a_lost_signature_that_was_not_made_is_not_missing(story: Story) -> None:
    story.build(7, FILES[:2], outcome="lost")
    made = key_vault("", moment(0.1))
    story.log([*edges(), made])
    found = story.answer()
    assert (found.result, found.not_logged, matches(found)) == ("accounted", 1, ["time-window"])


def test_uses_outside_the_period_count_only_if_the_period_was_named(story: Story) -> None:
    story.build(7, FILES[:1])
    story.log([used("a.exe"), key_vault("old", moment(-600))])
    assert story.answer().result == "unaccounted"
    found = story.answer(since=moment(-60))
    assert (found.result, found.outside) == ("accounted", 1)
    found = story.answer(since=moment(60))
    assert (found.result, found.outside, found.outside_signatures) == ("accounted", 1, 0)
    story.build(8, FILES[:1], minutes=-300)
    found = story.answer(since=moment(-60))
    assert (found.result, totals(found)["outside_signatures"]) == ("accounted", 1)


def test_a_record_that_was_exported_twice_is_one_use(story: Story) -> None:
    story.build(7, FILES)
    story.log([*edges(), *(used(name) for name in FILES)])
    story.log([*edges(), *(used(name) for name in FILES)], "again.json")
    found = story.answer()
    assert (found.result, found.repeated) == ("accounted", 3)


@pytest.mark.parametrize("change", ["changed", "dropped"])
def test_a_ledger_with_a_broken_chain_accounts_for_nothing(story: Story, change: str) -> None:
    path = story.build(7, FILES)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3:4] = [lines[3].replace(b"azure", b"azurf").replace(b"10:00:00", b"10:00:01")] if change == "changed" else []
    path.write_bytes(b"".join(lines))
    story.log([*edges(), *(used(name) for name in FILES)])
    found = story.answer()
    assert (found.result, set(reasons(found))) == ("unaccounted", {"refused-ledger"})
    assert totals(found)["refused_ledgers"] == 1
    assert frame(found)["ledgers"][0]["faults"]


def test_the_same_ledger_twice_counts_once(story: Story) -> None:
    path = story.build(7, FILES)
    story.ledgers.append(path)
    story.log([*edges(), *(used(name) for name in FILES)])
    found = story.answer()
    assert (found.result, totals(found)["signatures"], found.ledgers.merged) == ("accounted", 3, 3)


def test_unreadable_records_keep_the_answer_from_passing(story: Story) -> None:
    story.build(7, FILES[:1])
    path = story.log([*edges(), used("a.exe")])
    path.write_text(f"{path.read_text(encoding='utf-8')}broken\n", encoding="utf-8")
    found = story.answer()
    assert (found.result, found.unreadable) == ("incomplete", 1)


def test_nothing_to_compare_is_not_passed(story: Story) -> None:
    story.ledger("empty.jsonl", [])
    story.ledgers[0].touch()
    story.log(edges())
    assert story.answer().result == "incomplete"


def test_counts_by_pipeline_person_caller_and_day(story: Story) -> None:
    story.build(7, FILES)
    story.build(8, FILES[:1], minutes=24 * 60)
    stolen = key_vault("stolen", moment(5), application="thief")
    story.log([*(used(name) for name in FILES), used("a.exe", 24 * 60, 8), stolen])
    content = frame(story.answer())
    assert [(count["name"], count["signatures"], count["uses"]) for count in content["pipelines"]] == [
        ("tools/release", 4, 4)
    ]
    assert [(count["name"], count["signatures"]) for count in content["people"]] == [("Ada Lovelace", 4)]
    callers = [(count["name"], count["uses"], count["unaccounted"]) for count in content["callers"]]
    assert callers == [("application 00001111-aaaa-2222-bbbb-3333cccc4444", 4, 0), ("application thief", 1, 1)]
    days = [(count["name"], count["uses"], count["unaccounted"]) for count in content["days"]]
    assert days == [("2026-03-01", 4, 1), ("2026-03-02", 1, 0)]
    json.dumps(content)


def test_a_use_without_request_id_in_the_log_is_matched_by_time_only_with_a_free_signature(story: Story) -> None:
    story.build(7, FILES)
    story.log([*edges(), *(used(name) for name in FILES), key_vault("", moment(0.2))])
    found = story.answer()
    assert (found.result, len(found.unaccounted)) == ("unaccounted", 1)


@pytest.mark.parametrize(
    ("key", "names"),
    [
        (KEY, {VAULT_KEY.partition("://")[2]}),
        (
            KeyFacts(store="aws-kms", alias="release", reference={"key": "arn:aws:kms:x:1:key/A"}),
            {"arn:aws:kms:x:1:key/a"},
        ),
        (KeyFacts(store="keylocker", alias="Release", reference={"keypair": "1234", "host": "h"}), {"1234", "release"}),
        (
            KeyFacts(
                store="azure-artifact-signing", reference={"account": "A", "profile": "P", "endpoint": "https://e"}
            ),
            {"a/p"},
        ),
        (KeyFacts(store="pkcs11", alias="Token key", reference={"module": "/lib.so"}), {"token key"}),
        (KeyFacts(store="windows", reference={"container": "Release", "provider": "KSP"}), {"release"}),
        (KeyFacts(store="windows"), set()),
    ],
    ids=range(7),
)
def test_what_a_log_may_call_the_key_of_a_ledger(key: KeyFacts, names: set[str]) -> None:
    assert key_names(key) == names
