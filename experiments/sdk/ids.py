"""Ids of datasets and datapoints that live with the client, and of executions: equal data, equal ids, in every process.

Runs compare only where their datapoints have the same ids. `sha256-16` is what the official SDK 1.7.0 makes,
`md5-24` what its predecessors made (docs/decisions/0009).
"""

import hashlib
import json
import threading
import uuid
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from experiments.sdk.errors import ConfigurationError

IdScheme = Literal["sha256-16", "md5-24"]
PREFIX = "EXT-"
SCHEMES = ("sha256-16", "md5-24")

_EXECUTIONS = uuid.UUID("5a3c1f0e-7d0b-5b7e-9d53-0f6f6d1f3c5e")  # namespace of session ids; never change it
_warning_lock = threading.Lock()
_has_warned = False


def generate_external_dataset_id(datapoints: Sequence[Mapping[str, Any]], custom_id: Any = None) -> str:
    """`EXT-<custom id>`, prefixed once, else `EXT-` + 16 hex digits of the SHA-256 of the datapoints as JSON."""
    own = _own_id(custom_id, "custom_id")
    return own or PREFIX + _sha256_16(_text(datapoints))


def generate_external_datapoint_id(datapoint: Mapping[str, Any], index: int, custom_id: Any = None) -> str:
    """`EXT-<custom id>`, prefixed once, else `EXT-` + 16 hex digits of the SHA-256 of the JSON and the index.

    The index keeps equal datapoints of one dataset apart. `id` inside the datapoint is not looked at here;
    prepare_external_dataset does.
    """
    own = _own_id(custom_id, "custom_id")
    return own or PREFIX + _sha256_16(f"{_text(datapoint)}{index}")


def generate_datapoint_id(
    datapoint: Mapping[str, Any], *, index: int | None = None, id_scheme: IdScheme | None = None
) -> str:
    """The datapoint's own `id` or `datapoint_id`, prefixed once, else a hash of its content.

    Without `id_scheme` it is sha256-16 when the index in the dataset is given, else the older md5-24, which knows no
    index. Raises ConfigurationError for sha256-16 without index, and for an unknown scheme.
    """
    scheme = _checked_scheme(id_scheme or ("md5-24" if index is None else "sha256-16"))
    own = own_datapoint_id(datapoint)
    if own:
        return own
    if scheme == "md5-24":
        return PREFIX + _md5_24(datapoint)
    if index is None:
        raise ConfigurationError(
            "id_scheme='sha256-16' hashes the position too: give index=, the datapoint's place in its dataset."
        )
    return generate_external_datapoint_id(datapoint, index)


def prepare_external_dataset(
    datapoints: Sequence[Mapping[str, Any]], custom_dataset_id: Any = None, *, id_scheme: IdScheme = "sha256-16"
) -> tuple[str, list[str]]:
    """(dataset id, datapoint ids in the order of the datapoints).

    Raises ConfigurationError when datapoints are no list of dicts, or the scheme is unknown.
    """
    scheme = _checked_scheme(id_scheme)
    _check_datapoints(datapoints)
    ids = [
        generate_datapoint_id(datapoint, index=index, id_scheme=scheme) for index, datapoint in enumerate(datapoints)
    ]
    if scheme == "sha256-16":
        return generate_external_dataset_id(datapoints, custom_dataset_id), ids
    return _own_id(custom_dataset_id, "custom_dataset_id") or PREFIX + _md5_24(datapoints), ids


def create_external_dataset(
    datapoints: Sequence[Mapping[str, Any]],
    project: str | None = None,
    custom_dataset_id: Any = None,
    *,
    id_scheme: IdScheme = "sha256-16",
) -> tuple[str, list[str]]:
    """The specification's name of prepare_external_dataset; the key decides the project, so `project` is not used."""
    del project
    return prepare_external_dataset(datapoints, custom_dataset_id, id_scheme=id_scheme)


def prepare_run_request_data(
    run_id: str,
    name: str,
    *,
    dataset_id: str | None,
    event_ids: list[str] | None = None,
    datapoint_ids: list[str] | None = None,
    configuration: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    description: str | None = None,
    results: dict[str, Any] | None = None,
    status: str = "pending",
) -> dict[str, Any]:
    """Body of `POST /v1/runs`: an `EXT-` dataset goes to `metadata.offline_dataset_id` and `dataset_id` is None.

    The caller's dicts and lists are not changed.
    """
    is_external = bool(dataset_id) and str(dataset_id).startswith(PREFIX)
    body: dict[str, Any] = {
        "name": name,
        "run_id": run_id,
        "event_ids": list(event_ids or []),
        "datapoint_ids": list(datapoint_ids or []),
        "configuration": dict(configuration or {}),
        "metadata": {**(metadata or {}), **({"offline_dataset_id": dataset_id} if is_external else {})},
        "status": status,
        "dataset_id": None if is_external else dataset_id,
    }
    if description:
        body["description"] = description
    if results:
        body["results"] = dict(results)
    return body


def session_id_of(run_id: str, datapoint_id: str, repetition: int = 0, occurrence: int = 0) -> str:
    """Id of one execution: the same for the same run, datapoint, repetition and occurrence of that id in the dataset.

    Delivery and resume are idempotent by it: what is sent twice is stored once.
    """
    return str(uuid.uuid5(_EXECUTIONS, json.dumps([run_id, datapoint_id, repetition, occurrence])))


def own_datapoint_id(datapoint: Mapping[str, Any]) -> str:
    """The prefixed id that a datapoint brings along as `id`, else `datapoint_id`; "" when it brings none."""
    return _own_id(datapoint.get("id"), "id") or _own_id(datapoint.get("datapoint_id"), "datapoint_id")


def _own_id(value: Any, name: str) -> str:
    """Prefixed text of an id, "" for what is none: None, "", booleans, NaN. 0 is an id: numbering from 0 is common."""
    if value is None or value == "" or isinstance(value, bool) or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        raise ConfigurationError(f"{name}={value!r} is no id; give text or a number, or leave it out.")
    text = str(value)
    return text if text.startswith(PREFIX) else PREFIX + text


def _checked_scheme(id_scheme: str) -> IdScheme:
    if id_scheme == "sha256-16":
        return "sha256-16"
    if id_scheme == "md5-24":
        return "md5-24"
    raise ConfigurationError(f"id_scheme={id_scheme!r} is unknown; use one of {', '.join(map(repr, SCHEMES))}.")


def _check_datapoints(datapoints: Any) -> None:
    if not isinstance(datapoints, (list, tuple)):
        raise ConfigurationError(f"datapoints must be a list of dicts, not {type(datapoints).__name__}.")
    for index, datapoint in enumerate(datapoints):
        if not isinstance(datapoint, Mapping):
            raise ConfigurationError(f"datapoints[{index}] must be a dict, not {type(datapoint).__name__}.")


def _sha256_16(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _md5_24(value: Any) -> str:
    """The older scheme; what JSON cannot hold went in as `str(value)`, kept where that is the same in every process."""
    try:
        text = json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        from experiments.sdk.canonical import canonical_text

        _warn_once(error)
        canonical, is_printed_alike = canonical_text(value)
        text = str(value) if is_printed_alike else canonical
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:24]


def _text(value: Any) -> str:
    """JSON with sorted keys, to the letter as the official SDK writes it; else a canonical text."""
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        from experiments.sdk.canonical import canonical_text

        _warn_once(error)
        return canonical_text(value)[0]


def _warn_once(error: Exception) -> None:
    global _has_warned
    with _warning_lock:
        if _has_warned:
            return
        _has_warned = True
    warnings.warn(
        f"A datapoint holds what JSON cannot ({error}); its id is made from a description of these values. "
        "Give datapoints an 'id' of their own to be sure that runs compare.",
        stacklevel=4,
    )
