"""Opens the native engine: its journal, signature cache, limiter and timestamp client, for the settings of a run."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from kspsign.certificates.identity import PublisherIdentity
from kspsign.keys.protocol import KeyStore, SigningKey, check_digest
from kspsign.model.values import DigestAlgorithm
from kspsign.network.limiter import Limiter
from kspsign.network.load_limit import START
from kspsign.settings.model import Settings
from kspsign.signing.budget import Budget
from kspsign.signing.journal import Journal
from kspsign.signing.native import NativeEngine
from kspsign.signing.plan import signing_terms
from kspsign.signing.shared_state import SharedState
from kspsign.signing.signature_cache import SignatureCache
from kspsign.signing.source import SignatureSource
from kspsign.signing.source_records import SourceRecords

if TYPE_CHECKING:
    from kspsign.keys.embedded.store import EmbeddedKeyStore
    from kspsign.signing.preflight import Preflight
    from kspsign.timestamping.client import TimestampClient
    from kspsign.timestamping.server import TokenJudge


@contextlib.contextmanager
def open_native(
    settings: Settings,
    key: SigningKey,
    budget: Budget,
    shared: SharedState,
    judge: TokenJudge,
    preflight: Preflight | None,
) -> Iterator[NativeEngine]:
    """The native engine for these settings; its connections and journal are closed at the end, the key store is not.

    Timestamps come through `preflight`. The embedded key store brings its own timestamp server on loopback, unless
    other servers are named; `judge` is asked about its tokens.
    """
    certificate, store, cancelled = key.certificate, key.store, shared.cancelled
    if store is None:
        raise AssertionError  # certsync opens every key store but the one that this engine is refused for
    with contextlib.ExitStack() as resources:
        terms = signing_terms(settings, certificate.chain)
        check_digest(store, terms.algorithm)
        timestamps = None if preflight is None else preflight.client
        if store.name == "embedded" and not (settings.no_timestamp or settings.timestamp_url):
            timestamps, preflight = _own_server(settings, store, judge, cancelled, resources), None
        able, journal, cache = store.capabilities, None, None
        if able.costly:
            fixed = able.fixed_certificate
            name = certificate.thumbprint if fixed else PublisherIdentity.of(certificate.chain[0]).label
            journal = resources.enter_context(Journal(settings.journal_folder, name))
            for request in journal.lost:
                shared.uses.settled(request, "lost", "KILLED")
            if settings.signature_cache is not None:
                cache = SignatureCache(settings.signature_cache, name, cancelled)
        ceiling = min(settings.jobs, able.concurrent or settings.jobs)
        limiter = Limiter(ceiling, cancelled, start=ceiling if able.batches else START)
        resources.callback(shared.uses.end, kept=journal is not None)
        records = SourceRecords(shared.uses, journal, cache)
        source = SignatureSource(store, certificate.chain, limiter, budget, shared.breaker, records)
        resources.callback(source.settle)
        stamped_by = DigestAlgorithm(settings.timestamp_algorithm)
        yield NativeEngine(source, timestamps, preflight, terms, shared, stamped_by)


def _own_server(
    settings: Settings,
    store: KeyStore,
    judge: TokenJudge,
    cancelled: threading.Event,
    resources: contextlib.ExitStack,
) -> TimestampClient:
    """A client of the embedded key store's timestamp server, which runs until `resources` are closed."""
    from kspsign.embedded.timestamp_server import TimestampServer  # noqa: PLC0415 - needed only here
    from kspsign.timestamping.client import TimestampClient  # noqa: PLC0415 - it brings HTTP

    url = resources.enter_context(TimestampServer(cast("EmbeddedKeyStore", store).authority)).url
    client = TimestampClient((url,), settings.timestamp_limits, cancelled, settings.network.direct(), judge)
    resources.callback(client.close)
    return client
