"""What a cluster refuses a single message for."""

from __future__ import annotations

from typing import Final

from kafka import errors as kafka_errors

from streams.errors import LogError, MessageDenied, MessageInvalid, MessageTooLarge

TOO_LARGE: Final = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)
DENIED: Final = (kafka_errors.AuthorizationError,)
INVALID: Final = (
    kafka_errors.InvalidTimestampError,
    kafka_errors.InvalidRecordError,
    kafka_errors.CorruptRecordError,
    kafka_errors.PolicyViolationError,
    kafka_errors.UnsupportedForMessageFormatError,
)


def refusal(what: str, topic: str, error: kafka_errors.KafkaError) -> LogError:
    """Returns what a message of that topic is refused for.

    Raises:
        KafkaError: the error is none of a message.
    """
    if isinstance(error, TOO_LARGE):
        return MessageTooLarge(
            f"a message for {topic} is larger than that topic takes at {what}; raise its "
            "max.message.bytes"
        )
    if isinstance(error, DENIED):
        return MessageDenied(f"{what} does not let us write to {topic}; see to its ACLs: {error}")
    if isinstance(error, INVALID):
        return MessageInvalid(f"{what} refuses a message for {topic}: {error}")
    raise error
