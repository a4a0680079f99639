import signal

import pytest

from streams.errors import LogUnavailable, TopicError
from streams.process import long_running


@pytest.fixture
def process(tmp_path):
    """A long-running process in this one, whose signals and log lines are as before at its end."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield lambda: long_running("p", f"sqlite:///{tmp_path / 'log.db'}")
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_who_is_to_stop_while_the_log_is_away_ends_as_asked(process, caplog):
    with process() as running:
        signal.raise_signal(signal.SIGTERM)
        assert running.stop.is_set()
        raise LogUnavailable("the broker is away")
    assert "stopped while the log is away (the broker is away)" in caplog.text


def test_a_log_that_is_away_ends_a_process_that_nobody_stopped(process):
    with pytest.raises(LogUnavailable, match="away"), process():
        raise LogUnavailable("away")


def test_other_errors_are_told_at_the_end_too(process):
    def stopped_and_wrong():
        with process() as running:
            running.stop.set()
            raise TopicError("none")

    with pytest.raises(TopicError):
        stopped_and_wrong()
