"""One request of a batch: what it says itself, with what it shares with all the others."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.base import ParseContext
from airflow_provider_apiframe.api.params.catalog import MODELS
from airflow_provider_apiframe.api.params.given import FLUX, params_mapping
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.api.validation import RuleError, truncated_repr
from airflow_provider_apiframe.submission.batch_file import Columns, Entry

ParamsName = Literal["flux_params", "params"]
"""What an operator calls the model's parameters."""

MAX_ID = 200
"""Characters of a request's ``id``."""

_NAMES = ("prompt", "model", "id")
_PARAMS = frozenset(name for model in MODELS.values() for name in model.params)
# What may be secret in a link: a password, and a signature in the query.
_LINK = re.compile(r"(?P<scheme>https?://)([^/?#\s]*@)?(?P<address>[^?#\s]*)(?P<query>[?#]\S*)?")


@dataclass(frozen=True)
class BatchRequest:
    """One request of a batch.

    :param index: its place in the batch, from 0.
    :param request: what is submitted: what the batch shares with what the request says itself.
    :param id: the user's own reference, unique in the batch; None where none was given.
    :param given: what the user wrote, for the manifest: "prompt", and "model" and the parameters
        where the request has its own. JSON; links without what may be secret in them.
    :param place: where it was read, for texts: "line 7" of a file, "index 3" of a list.
    """

    index: int
    request: GenerateRequest
    id: str | None
    given: Mapping[str, Any]
    place: str


def _never(value: Any) -> bool:
    return False


@dataclass(frozen=True)
class Shared:
    """What the requests of a batch share.

    :param model: of requests that name none.
    :param params: parameters; a request's own win, name by name.
    :param params_name: what users call the parameters.
    :param is_templated: says whether something in a value is known only when the task runs.
    :param templated: names of the shared parameters that may be templated.
    """

    model: Any
    params: Mapping[Any, Any]
    params_name: ParamsName
    is_templated: Callable[[Any], bool] = _never
    templated: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        model: Any,
        params: Any,
        params_name: ParamsName,
        is_templated: Callable[[Any], bool] = _never,
    ) -> Shared:
        """Return what an operator's arguments say.

        :param params: a ModelParams, a mapping, text that holds one, or None.
        :raises InvalidRequestError: *params* is none of these.
        """
        if not isinstance(params, Mapping) and is_templated(params):
            return cls(model, {}, params_name, is_templated, _PARAMS)
        return cls(model, params_mapping(params, params_name), params_name, is_templated)

    @property
    def columns(self) -> Columns:
        """What the columns of a file may be."""
        models = [
            model for model in MODELS.values() if self.params_name != FLUX or model.family == "flux"
        ]
        params = {name for model in models for name in model.params}
        return Columns(
            (*_NAMES, self.params_name), params, lambda name: self._unknown(name, params)
        )

    def check(self) -> None:
        """Check what is shared by itself, where no request is known.

        :raises InvalidRequestError: naming all that is wrong.
        """
        self._request({"prompt": "any", "model": self.model}, {}, _PARAMS - self.params.keys())

    def read(self, index: int, entry: Entry) -> BatchRequest | None:
        """Return the request that *entry* is; None where it is a template as a whole.

        :raises InvalidRequestError: naming all that is wrong with it.
        """
        if entry.problem:
            raise InvalidRequestError(entry.problem)
        values = entry.values
        if not isinstance(values, Mapping):
            if self.is_templated(values):
                return None
            raise InvalidRequestError(
                f'must be a mapping such as {{"prompt": "a cat"}}, not {truncated_repr(values)}'
            )
        names = (*_NAMES, self.params_name)
        wrong = [self._unknown(name) for name in values if name not in names]
        try:
            request_id = self._id(values.get("id"))
        except RuleError as error:
            wrong.append(f"id={truncated_repr(values['id'])}: {error}")
        prompt, model = values.get("prompt"), values.get("model")
        try:
            own, templated = self._own_params(entry)
            filled = {"prompt": prompt, "model": self.model if model is None else model}
            request = self._request(filled, own, templated)
        except InvalidRequestError as error:
            wrong.append(str(error))
        if wrong:
            raise InvalidRequestError("; ".join(wrong))
        given = {"prompt": request.prompt}
        if model is not None:
            given["model"] = request.model
        if params := _given_params(request, own):
            given[self.params_name] = params
        return BatchRequest(index, request, request_id, given, entry.place)

    def _own_params(self, entry: Entry) -> tuple[dict[Any, Any], frozenset[str]]:
        """Return a request's own parameters, and the names of those that may be templated."""
        value = entry.values.get(self.params_name)
        if not isinstance(value, Mapping) and self.is_templated(value):
            return {}, _PARAMS
        own = dict(params_mapping(value, self.params_name))
        if twice := sorted(own.keys() & entry.params.keys()):
            raise InvalidRequestError(
                f"{', '.join(twice)}: given twice, in {self.params_name} and in a column of its own"
            )
        return {**own, **entry.params}, frozenset()

    def _request(
        self, values: dict[str, Any], own: Mapping[Any, Any], templated: frozenset[str]
    ) -> GenerateRequest:
        params = {**self.params, **own}
        # The parameters of a model that is not known are one mapping by its name.
        inner = [value for value in params.values() if isinstance(value, Mapping)]
        not_known = {name for name, value in values.items() if self.is_templated(value)}
        params_not_known = {
            name
            for mapping in (params, *inner)
            for name, value in mapping.items()
            if self.is_templated(value)
        }
        context = ParseContext(
            templated=frozenset(not_known),
            templated_params=(self.templated - own.keys()) | templated | params_not_known,
            params_name=self.params_name,
        )
        arguments = {**values, **dict.fromkeys(not_known), "params": params}
        try:
            return GenerateRequest.checked(arguments, context)
        except InvalidRequestError as error:
            if names := sorted(error.fields.keys() & self.params.keys() - own.keys()):
                raise error.adding(
                    f"The batch gives {', '.join(names)} to all requests by its "
                    f"{self.params_name}; null in a request leaves it out"
                ) from None
            raise

    def _id(self, value: Any) -> str | None:
        if value is None or self.is_templated(value):
            return None
        text = str(value) if type(value) is int else value
        if not isinstance(text, str) or not text.isprintable() or not 0 < len(text) <= MAX_ID:
            raise RuleError(f"must be text of 1 to {MAX_ID} printable characters")
        return text

    def _unknown(self, name: Any, columns: Collection[str] = ()) -> str:
        known = [*_NAMES, self.params_name]
        shown, text = f"{truncated_repr(name)} is unknown", str(name)[:80].lower()
        if text.startswith("webhook_"):
            return f"{shown}: a batch takes no webhooks"
        if text in _PARAMS and not columns:
            return f"{shown} here, a parameter of the model goes into {self.params_name}"
        if near := difflib.get_close_matches(text, [*known, *sorted(columns)], n=1):
            return f"{shown}, did you mean {near[0]!r}?"
        also = " and the parameters of the models" if columns else ""
        return f"{shown}; known are {', '.join(known)}{also}"


def _given_params(request: GenerateRequest, own: Collection[Any]) -> Any:
    """Return a request's own parameters as JSON: as they were understood."""
    values = request.params.as_dict()
    if request.params.body_key in own:
        values = {request.params.body_key: values}
    return _without_secrets({name: value for name, value in values.items() if name in own})


def _without_secrets(value: Any) -> Any:
    if isinstance(value, str) and (link := _LINK.fullmatch(value)):
        return link["scheme"] + link["address"] + ("?..." if link["query"] else "")
    if isinstance(value, dict):
        return {name: _without_secrets(item) for name, item in value.items()}
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value
