"""What Dify says: one small builder per stream event, and how events become bytes.

Builders give an event without its ids, since a script is written before the server knows them; `complete`
adds them in Dify's key order. `block` makes bytes of one event, `stream` of a whole body (for tests without
a server).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal

Event = dict[str, Any]
Style = Literal["compact", "classic"]


class Absent(Enum):
    """For a field that is to be left out, which is not the same as null."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
PING: Final = b"event: ping\n\n"

USAGE: Final[Mapping[str, Any]] = {
    "prompt_tokens": 412,
    "prompt_unit_price": "0.15",
    "prompt_price_unit": "0.000001",
    "prompt_price": "0.0000618",
    "completion_tokens": 27,
    "completion_unit_price": "0.60",
    "completion_price_unit": "0.000001",
    "completion_price": "0.0000162",
    "total_tokens": 439,
    "total_price": "0.0000780",
    "currency": "USD",
    "latency": 1.183,
    "time_to_first_token": 0.412,
    "time_to_generate": 0.771,
}


@dataclass(frozen=True, slots=True)
class Ids:
    """What stays the same over one stream."""

    conversation_id: str = "11111111-1111-4111-8111-111111111111"
    message_id: str = "22222222-2222-4222-8222-222222222222"
    task_id: str = "33333333-3333-4333-8333-333333333333"
    workflow_run_id: str = "44444444-4444-4444-8444-444444444444"
    created_at: int = field(default=1782950401)

    @classmethod
    def fresh(cls, conversation_id: str = "", created_at: int = 1782950401) -> Ids:
        """New ids; a blank conversation id means a new conversation, as it does in a request."""
        return cls(conversation_id or _uuid(), _uuid(), _uuid(), _uuid(), created_at)


def _uuid() -> str:
    return str(uuid.uuid4())


# --- Bytes -----------------------------------------------------------------------------------------------


def dumps(value: object, style: Style = "compact") -> str:
    """JSON as Dify 1.8 and later writes it, or as the versions before did."""
    if style == "classic":
        return json.dumps(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def block(event: Event, style: Style = "compact", *, cursor: str | None = None) -> bytes:
    """One event as it stands in the stream; `cursor` adds the `id:` line of replayable events."""
    prefix = "" if cursor is None else f"id: {cursor}\n"
    return f"{prefix}data: {dumps(event, style)}\n\n".encode()


def stream(*items: Event | bytes, ids: Ids | None = None, style: Style = "compact") -> bytes:
    """A whole body: events completed with `ids`, bytes (`PING`) as they are."""
    ids = ids or Ids()
    return b"".join(item if isinstance(item, bytes) else block(complete(item, ids), style) for item in items)


_WITH_MESSAGE_ID = frozenset({"message", "agent_message", "message_end"})
_WITH_RUN_ID = ("workflow_", "node_", "iteration_", "loop_", "parallel_branch_", "human_input_")


def complete(event: Event, ids: Ids, *, without: Collection[str] = ()) -> Event:
    """The event with the fields every event has; what it already says itself stays."""
    kind = str(event["event"])
    common: Event = {
        "event": kind,
        "conversation_id": ids.conversation_id,
        "message_id": ids.message_id,
        "created_at": ids.created_at,
    }
    if kind != "error":
        common["task_id"] = ids.task_id
    if kind.startswith(_WITH_RUN_ID):
        common["workflow_run_id"] = ids.workflow_run_id
    if kind in _WITH_MESSAGE_ID:
        common["id"] = ids.message_id
    own = dict(event)
    if kind in ("workflow_started", "workflow_finished"):
        own["data"] = {"id": ids.workflow_run_id, **own["data"]}
    elif kind == "workflow_paused":
        own["data"] = {"workflow_run_id": ids.workflow_run_id, **own["data"]}
    elif kind == "reasoning_chunk":
        own["data"] = {"message_id": ids.message_id, **own["data"]}
    return {key: value for key, value in {**common, **own}.items() if key not in without}


# --- Text and its end ------------------------------------------------------------------------------------


def message(answer: str, **more: Any) -> Event:
    return {"event": "message", "answer": answer, "from_variable_selector": None, **more}


def agent_message(answer: str, **more: Any) -> Event:
    return {"event": "agent_message", "answer": answer, **more}


def message_replace(answer: str, reason: str | Absent = "output_moderation") -> Event:
    return _present({"event": "message_replace", "answer": answer, "reason": reason})


def message_end(
    sources: Sequence[Mapping[str, Any]] | Absent | None = (),
    usage: Mapping[str, Any] | Absent | None = USAGE,
    **more: Any,
) -> Event:
    cited = list(sources) if isinstance(sources, Sequence) else sources
    metadata = _present({"annotation_reply": None, "retriever_resources": cited, "usage": usage})
    return {"event": "message_end", "metadata": metadata, "files": None, **more}


def citation(
    position: int = 1,
    document_name: str = "Handbook.md",
    content: str = "The kettle boils at noon.",
    score: float | None = 0.87,
    **more: Any,
) -> Event:
    """One entry of `retriever_resources`."""
    return {
        "position": position,
        "dataset_id": "55555555-5555-4555-8555-555555555555",
        "dataset_name": "Handbooks",
        "document_id": f"66666666-6666-4666-8666-{position:012d}",
        "document_name": document_name,
        "data_source_type": "upload_file",
        "segment_id": f"77777777-7777-4777-8777-{position:012d}",
        "retriever_from": "api",
        "score": score,
        "content": content,
        "page": None,
        **more,
    }


# --- Beside the text -------------------------------------------------------------------------------------


def agent_thought(
    thought: str = "",
    *,
    id: str = "thought-1",
    position: int = 1,
    tool: str = "",
    tool_input: str = "",
    observation: str = "",
) -> Event:
    return {
        "event": "agent_thought",
        "id": id,
        "position": position,
        "thought": thought,
        "observation": observation,
        "tool": tool,
        "tool_labels": {tool: {"en_US": tool.title()}} if tool else {},
        "tool_input": tool_input,
        "message_files": [],
    }


def message_file(url: str = "/files/tools/kettle.png?sign=x", **more: Any) -> Event:
    """With `answer=...` it is the mislabelled text that some versions send."""
    return {
        "event": "message_file",
        "id": "file-1",
        "type": "image",
        "belongs_to": "assistant",
        "url": url,
        **more,
    }


def reasoning_chunk(reasoning: str, *, is_final: bool = False) -> Event:
    return {
        "event": "reasoning_chunk",
        "data": {"reasoning": reasoning, "node_id": "llm", "is_final": is_final},
    }


def tts_message(audio: str = "//PkxAA=") -> Event:
    return {"event": "tts_message", "audio": audio}


def tts_message_end() -> Event:
    return {"event": "tts_message_end", "audio": ""}


def error(message: str, code: str = "completion_request_error", status: int = 400) -> Event:
    return {"event": "error", "code": code, "status": status, "message": message}


# --- Workflow --------------------------------------------------------------------------------------------


def workflow_started(query: str = "", **data: Any) -> Event:
    return {
        "event": "workflow_started",
        "data": {
            "workflow_id": "workflow-1",
            "inputs": {"sys.query": query},
            "created_at": 1782950401,
            "reason": "initial",
            **data,
        },
    }


def workflow_finished(text: str = "", *, status: str = "succeeded", error: str | None = None) -> Event:
    return {
        "event": "workflow_finished",
        "data": {
            "workflow_id": "workflow-1",
            "status": status,
            "outputs": {"answer": text},
            "error": error,
            "elapsed_time": 2.5,
            "total_tokens": 50,
            "total_steps": 3,
            "created_by": {"id": "user-1", "user": "someone"},
            "created_at": 1782950401,
            "finished_at": 1782950403,
            "exceptions_count": 0,
            "files": [],
        },
    }


def node_started(title: str, *, node_type: str = "llm", index: int = 1) -> Event:
    return {
        "event": "node_started",
        "data": _node(title, node_type, index)
        | {"created_at": 1782950401, "extras": {}, "iteration_id": None, "loop_id": None},
    }


def node_finished(
    title: str,
    *,
    node_type: str = "llm",
    index: int = 1,
    outputs: Mapping[str, Any] | None = None,
    status: str = "succeeded",
    error: str | None = None,
) -> Event:
    """`outputs` may be as large as one likes: a megabyte in one line is a real case."""
    return {
        "event": "node_finished",
        "data": _node(title, node_type, index)
        | {
            "process_data": None,
            "outputs": {} if outputs is None else dict(outputs),
            "status": status,
            "error": error,
            "elapsed_time": 0.5,
            "execution_metadata": None,
            "created_at": 1782950401,
            "finished_at": 1782950402,
            "files": [],
        },
    }


def node_retry(title: str, *, error: str = "timed out", retry_index: int = 1) -> Event:
    retried = node_finished(title, status="retry", error=error)
    return {"event": "node_retry", "data": retried["data"] | {"retry_index": retry_index}}


def _node(title: str, node_type: str, index: int) -> Event:
    return {
        "id": f"execution-{index}",
        "node_id": f"node-{index}",
        "node_type": node_type,
        "title": title,
        "index": index,
        "predecessor_node_id": None if index == 1 else f"node-{index - 1}",
        "inputs": None,
    }


def agent_log(label: str = "ROUND 1") -> Event:
    return {
        "event": "agent_log",
        "data": {
            "node_execution_id": "execution-1",
            "id": "log-1",
            "label": label,
            "parent_id": None,
            "error": None,
            "status": "success",
            "data": {},
            "metadata": {},
            "node_id": "node-1",
        },
    }


def human_input_required(title: str = "Approve") -> Event:
    return {
        "event": "human_input_required",
        "data": {
            "form_id": "form-1",
            "form_token": "token-1",
            "node_id": "node-1",
            "node_title": title,
            "form_content": "Shall I?",
            "inputs": [],
            "actions": [{"id": "yes", "title": "Yes", "button_style": "primary"}],
            "resolved_default_values": {},
            "display_in_ui": True,
            "expiration_time": 1783036801,
        },
    }


def workflow_paused() -> Event:
    return {
        "event": "workflow_paused",
        "data": {
            "paused_nodes": ["node-1"],
            "outputs": {},
            "reasons": [{"TYPE": "human_input_required", "node_id": "node-1"}],
            "status": "paused",
            "created_at": 1782950401,
            "elapsed_time": 0.5,
            "total_tokens": 0,
            "total_steps": 1,
        },
    }


def unknown(event: str = "crystal_ball", **fields: Any) -> Event:
    """An event from a later version. It may carry an `answer`, which is not text of the answer."""
    return {"event": event, **(fields or {"answer": "not text", "data": {"new": True}})}


def _present(fields: Event) -> Event:
    return {key: value for key, value in fields.items() if value is not ABSENT}
