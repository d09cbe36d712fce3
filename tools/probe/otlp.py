"""A trace as Tempo's look-up by ID gives it: OTLP in protobuf's JSON form."""

import base64

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tools.probe.result import Span


class _Message(BaseModel):
    # Protobuf's JSON leaves out what has its default value, and later releases may add fields.
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")


class _Value(_Message):
    string_value: str | None = None
    int_value: int | None = None
    double_value: float | None = None
    bool_value: bool | None = None
    array_value: "_Array | None" = None

    def text(self) -> str:
        if self.array_value is not None:
            return f"[{', '.join(value.text() for value in self.array_value.values)}]"
        if self.bool_value is not None:
            return "true" if self.bool_value else "false"
        values = (self.string_value, self.int_value, self.double_value)
        return next((str(value) for value in values if value is not None), "")


class _Array(_Message):
    values: list[_Value] = Field(default_factory=list[_Value])


class _Attribute(_Message):
    key: str
    value: _Value = _Value()


class _Attributes(_Message):
    attributes: list[_Attribute] = Field(default_factory=list[_Attribute])

    def texts(self) -> dict[str, str]:
        return {attribute.key: attribute.value.text() for attribute in self.attributes}


class _Status(_Message):
    code: str = "STATUS_CODE_UNSET"
    message: str = ""


class _Span(_Attributes):
    span_id: str
    parent_span_id: str = ""
    name: str = ""
    kind: str = "SPAN_KIND_UNSPECIFIED"
    start_time_unix_nano: int
    end_time_unix_nano: int
    status: _Status = _Status()


class _ScopeSpans(_Message):
    spans: list[_Span] = Field(default_factory=list[_Span])


class _ResourceSpans(_Message):
    resource: _Attributes = _Attributes()
    scope_spans: list[_ScopeSpans] = Field(default_factory=list[_ScopeSpans])


class _Trace(_Message):
    batches: list[_ResourceSpans]


def parse_trace(document: bytes) -> list[Span]:
    """The spans of a trace, by their start.

    Raises:
        ValueError: the document is no trace.
    """
    spans: list[Span] = []
    for batch in _Trace.model_validate_json(document).batches:
        resource = batch.resource.texts()
        service = resource.pop("service.name", "(no service.name)")
        spans += [_plain(span, service, resource) for scope in batch.scope_spans for span in scope.spans]
    return sorted(spans, key=lambda span: span.start_unix_nano)


def _plain(span: _Span, service: str, resource: dict[str, str]) -> Span:
    return Span(
        service=service,
        name=span.name,
        span_id=_hexadecimal(span.span_id),
        parent_span_id=_hexadecimal(span.parent_span_id),
        kind=span.kind.removeprefix("SPAN_KIND_"),
        status=span.status.code.removeprefix("STATUS_CODE_"),
        status_message=span.status.message,
        start_unix_nano=span.start_time_unix_nano,
        duration_seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        attributes=span.texts(),
        resource=resource,
    )


def _hexadecimal(encoded: str) -> str:
    """Protobuf's JSON writes bytes in base64; trace and span IDs are hexadecimal everywhere else."""
    return base64.b64decode(encoded).hex()
