"""The `AzureDevOps` protocol on Microsoft's azure-devops package; its objects and exceptions stay in here."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import requests
from azure.devops.v7_1.build import BuildClient
from azure.devops.v7_1.build.models import JsonPatchOperation
from azure.devops.v7_1.test import TestClient
from azure.devops.v7_1.test.models import (
    RunCreateModel,
    RunUpdateModel,
    ShallowReference,
    TestAttachmentRequestModel,
    TestCaseResult,
)
from msrest.exceptions import ClientException
from pydantic import SecretStr

from kspsign.azure_devops.errors import UNEXPECTED, UNREACHABLE, problem
from kspsign.azure_devops.protocol import PublishedResult, TestRunPlan
from kspsign.azure_devops.transport import open_pipeline
from kspsign.azure_devops.values import AttachmentRef, BuildState, Timeline, TimelineRecord
from kspsign.model.network_options import NetworkOptions
from kspsign.network.address import shown_url
from kspsign.network.deadline import overran
from kspsign.network.requests_adapter import open_session

MAX_ATTACHMENT = 256 << 20
EXCHANGE_SECONDS = 600.0
"""For a whole exchange; an attachment may be large."""
RESULTS_PER_CALL = 200
"""The server takes a thousand; long texts make that many too large a request."""
BUILDS_PER_CALL = 1000
MAX_PAGES = 100
"""A hundred thousand builds: whoever asks for more has mistaken the time."""

_GUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_UPLOADED_BY = re.compile(rf"/({_GUID})/({_GUID})/attachments/[^/]+/[^/]+$")


class DevOpsClient:
    """Talks to one project of one collection; for one thread. See `AzureDevOps` for the methods."""

    # Not through azure.devops.connection: it asks other hosts for the places of services, and both areas that we
    # use are served by the collection itself.
    def __init__(
        self,
        collection: str,
        project: str,
        token: SecretStr,
        pause: Callable[[float], bool],
        network: NetworkOptions,
    ) -> None:
        self._project, self._shown = project, shown_url(collection)
        self._session = open_session(network, connections=1, deadline=EXCHANGE_SECONDS)
        pipeline = open_pipeline(self._session, collection, token, pause)
        self._build = BuildClient(collection)
        self._test = TestClient(collection)
        for client in (self._build, self._test):
            client.config.keep_alive = True
            client.config.pipeline = pipeline

    def close(self) -> None:
        self._session.close()

    def build(self, build_id: int) -> BuildState:
        with self._translated():
            build = self._build.get_build(self._project, build_id)
            return BuildState(int(build.id), str(build.status), None if build.result is None else str(build.result))

    def builds_since(self, definitions: Sequence[int], since: float) -> Iterator[int]:
        begin = datetime.fromtimestamp(since, UTC)
        seen: set[int] = set()
        for build_id in self._pages(definitions, "finishTimeAscending", "completed", begin):
            seen.add(build_id)
            yield build_id
        # Asked last, so that one that ends meanwhile may be in both lists, but is in one of them.
        for build_id in self._pages(
            definitions, "queueTimeAscending", "inProgress,cancelling,postponed,notStarted", None
        ):
            if build_id not in seen:
                yield build_id

    def _pages(self, definitions: Sequence[int], order: str, status: str, begin: datetime | None) -> Iterator[int]:
        """The package drops the token of the next page: that begins at the time of the last build of this one."""
        seen: set[int] = set()
        for _page in range(MAX_PAGES):
            with self._translated():
                found = self._build.get_builds(
                    self._project,
                    definitions=list(definitions),
                    min_time=begin,
                    status_filter=status,
                    top=BUILDS_PER_CALL,
                    query_order=order,
                )
                fresh = {int(build.id): build for build in found if int(build.id) not in seen}
                times = [build.finish_time if order.startswith("finish") else build.queue_time for build in found]
            seen |= fresh.keys()
            yield from fresh
            if len(found) < BUILDS_PER_CALL:
                return
            if not fresh or times[-1] is None:
                break
            begin = times[-1]
        raise problem(
            UNEXPECTED, f"more than {MAX_PAGES * BUILDS_PER_CALL} builds, or as many of one moment as a page has"
        )

    def timeline(self, build_id: int, timeline_id: str | None = None) -> Timeline:
        with self._translated():
            timeline = self._build.get_build_timeline(self._project, build_id, timeline_id)
            if timeline is None:
                return Timeline("", {})
            records = (_record(record) for record in timeline.records or ())
            return Timeline(timeline.id.lower(), {record.id: record for record in records})

    def attachments(self, build_id: int, kind: str) -> tuple[AttachmentRef, ...]:
        with self._translated():
            found = self._build.get_attachments(self._project, build_id, kind) or ()
            return tuple(_attachment(kind, item) for item in found)

    def attachment(self, build_id: int, ref: AttachmentRef) -> bytes:
        with self._translated():
            chunks: Iterable[bytes] = self._build.get_attachment(
                self._project, build_id, ref.timeline_id, ref.record_id, ref.kind, ref.name
            )
            content = bytearray()
            for chunk in chunks:
                content += chunk
                if len(content) > MAX_ATTACHMENT:
                    raise problem(UNEXPECTED, f"the attachment {ref.name} is too large")
            return bytes(content)

    def add_tag(self, build_id: int, tag: str) -> None:
        with self._translated():
            self._build.add_build_tag(self._project, build_id, tag)

    def set_property(self, build_id: int, name: str, value: str) -> None:
        with self._translated():
            operation = JsonPatchOperation(op="add", path=f"/{name}", value=value)
            self._build.update_build_properties([operation], self._project, build_id)

    def create_run(self, plan: TestRunPlan) -> int:
        model = RunCreateModel(
            name=plan.title,
            automated=True,
            state="InProgress",
            build=ShallowReference(id=str(plan.build_id)),
            start_date=plan.started,
            release_uri=plan.release_uri,
            release_environment_uri=plan.release_environment_uri,
        )
        with self._translated():
            return int(self._test.create_test_run(model, self._project).id)

    def add_results(self, run_id: int, results: Sequence[PublishedResult]) -> tuple[int, ...]:
        numbers: list[int] = []
        with self._translated():
            for start in range(0, len(results), RESULTS_PER_CALL):
                models = [_result(result) for result in results[start : start + RESULTS_PER_CALL]]
                made = self._test.add_test_results_to_test_run(models, self._project, run_id)
                if len(made) != len(models):
                    raise problem(UNEXPECTED, f"{len(made)} of {len(models)} test results were accepted")
                numbers += (int(run.id) for run in made)
        return tuple(numbers)

    def attach_to_run(self, run_id: int, name: str, content: bytes) -> None:
        with self._translated():
            self._test.create_test_run_attachment(_upload(name, content), self._project, run_id)

    def attach_to_result(self, run_id: int, result_id: int, name: str, content: bytes) -> None:
        with self._translated():
            self._test.create_test_result_attachment(_upload(name, content), self._project, run_id, result_id)

    def end_run(self, run_id: int, state: Literal["Completed", "Aborted"]) -> None:
        with self._translated():
            self._test.update_test_run(RunUpdateModel(state=state), self._project, run_id)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Exceptions of the packages below, and answers of another shape, as our error."""
        try:
            yield
        except requests.RequestException as broken:
            cause = overran(broken) or "the connection broke"
            raise problem(UNREACHABLE, f"no whole answer from {self._shown} ({cause})") from broken
        except (ClientException, OSError, ValueError, TypeError, LookupError, AttributeError) as unexpected:
            # The package answers with None or with half-filled objects for JSON of another shape.
            raise problem(UNEXPECTED, f"a response of unexpected form ({unexpected})") from unexpected


def _record(record: Any) -> TimelineRecord:
    return TimelineRecord(
        id=record.id.lower(),
        parent_id=record.parent_id.lower() if record.parent_id else None,
        kind=str(record.type),
        name=str(record.name),
        state=str(record.state),
        result=None if record.result is None else str(record.result),
        task_id=record.task.id.lower() if record.task is not None else None,
        attempt=int(record.attempt or 1),
    )


def _attachment(kind: str, attachment: Any) -> AttachmentRef:
    """The record that uploaded it is named only in its URL."""
    # The package's model of links keeps unknown fields as additional properties.
    address = attachment._links.additional_properties["self"]["href"]  # noqa: SLF001 - so it names the JSON key
    found = _UPLOADED_BY.search(address)
    if found is None:
        raise ValueError(f"the address of the attachment {attachment.name} names no timeline record")
    return AttachmentRef(kind, str(attachment.name), found[1].lower(), found[2].lower())


def _result(result: PublishedResult) -> TestCaseResult:
    return TestCaseResult(
        test_case_title=result.title,
        automated_test_name=result.title,
        automated_test_storage=result.storage,
        automated_test_type="kspsign",
        outcome=result.outcome,
        state="Completed",
        duration_in_ms=round(result.seconds * 1000, 3),
        error_message=result.message or None,
        stack_trace=result.detail or None,
    )


def _upload(name: str, content: bytes) -> TestAttachmentRequestModel:
    return TestAttachmentRequestModel(
        attachment_type="GeneralAttachment",
        file_name=name,
        stream=base64.b64encode(content).decode("ascii"),
        comment="kspsign",
    )
