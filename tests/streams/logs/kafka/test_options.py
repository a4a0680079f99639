"""What a kafka:// URL says, what it may not say, and what is never repeated of it."""

import json

import kafka
import pytest

from streams.errors import LogUrlError
from streams.logs.kafka.options import DEFAULTS, OURS, open_client, read_url, typed
from streams.logs.opening import open_log, redacted


class Client:
    """Stands in for one of kafka-python's, and keeps what it was given."""

    DEFAULT_CONFIG = kafka.KafkaConsumer.DEFAULT_CONFIG

    def __init__(self, **options):
        self.options = options


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("linger_ms", "7", 7),
        ("retries", "3", 3.0),
        ("acks", "all", "all"),
        ("acks", "1", 1),
        ("ssl_check_hostname", "False", False),
        ("enable_idempotence", "yes", True),
        ("client_rack", "eu-1a", "eu-1a"),
        ("sasl_plain_password", "12345", "12345"),
        ("send_buffer_bytes", "65536", 65536),
        ("api_version", "3.9.1", (3, 9, 1)),
    ],
)
def test_options_take_the_type_of_the_clients_default(name, text, value):
    options = read_url(f"kafka://host:9092?{name}={text}").client
    assert options == {name: value}
    assert type(options[name]) is type(value)


def refused(name):
    try:
        typed(name, "1")
    except LogUrlError:
        return True
    return False


def test_text_says_every_option_but_objects_and_the_logs_own():
    objects = {n for n, d in DEFAULTS.items() if not isinstance(d, int | float | str | None)}
    assert {name for name in DEFAULTS if refused(name)} == OURS | objects
    assert {"security_protocol", "ssl_cafile", "sasl_mechanism", "proxy_url"} < set(DEFAULTS)


def test_the_logs_own_options_are_told_apart():
    options = read_url("kafka://one:9092,two:9093/?prefix=ads.&replication_factor=3&linger_ms=1")
    assert options == ("one:9092,two:9093", "ads.", 3, {"linger_ms": 1}, None)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("true", "copyloop"),
        ("False", None),
        ("no", None),
        ("https://shop.example/ads/", "https://shop.example/ads"),
        ("urn:shop:ads", "urn:shop:ads"),
    ],
)
def test_our_events_are_cloudevents_of_a_source_if_asked_to_be(text, source):
    assert read_url(f"kafka://host?cloudevents={text}").cloudevents == source


@pytest.mark.parametrize("suffix", ["toml", "json", "yaml", "yml"])
def test_a_file_holds_what_the_url_should_not(tmp_path, suffix):
    path = tmp_path / f"kafka.{suffix}"
    options = {"sasl_plain_password": "s3cret", "linger_ms": 5, "ssl_check_hostname": "false"}
    lines = "".join(f"{k} = {json.dumps(v)}\n" for k, v in options.items())
    path.write_text(lines if suffix == "toml" else json.dumps(options))
    read = read_url(f"kafka://host?config={path}&linger_ms=9&prefix=p.")
    expected = {"sasl_plain_password": "s3cret", "linger_ms": 9, "ssl_check_hostname": False}
    assert (read.client, read.prefix) == (expected, "p.")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("kafka://", "host"),
        ("kafka:///path", "host"),
        ("kafka://host/topic", "host"),
        ("kafka://user:s3cret@host", "no login"),
        ("kafka://host?no_such_option=s3cret", "no_such_option"),
        ("kafka://host?linger_ms=s3cret", "linger_ms"),
        ("kafka://host?api_version=s3cret", "api_version"),
        ("kafka://host?replication_factor=many", "replication_factor"),
        ("kafka://host?cloudevents=", "cloudevents"),
        ("kafka://host?cloudevents=two%20words", "cloudevents"),
        ("kafka://host?ssl_check_hostname=s3cret", "ssl_check_hostname"),
        ("kafka://host?group_id=s3cret", "set by the log"),
        ("kafka://host?selector=s3cret", "in Python"),
        ("kafka://host?linger_ms=1&linger_ms=2", "twice"),
        ("kafka://host?config=/absent/kafka.toml", "No such file"),
        ("kafka://host?config=kafka.ini", ".toml"),
    ],
)
def test_what_cannot_be_is_refused_and_no_value_is_repeated(url, complaint):
    with pytest.raises(LogUrlError, match=complaint) as caught:
        open_log(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("toml", "sasl_plain_password = s3cret"),
        ("json", "{s3cret"),
        ("json", '["s3cret"]'),
        ("yaml", "[s3cret"),
        ("yaml", "- s3cret"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_and_not_repeated(tmp_path, suffix, content):
    path = tmp_path / f"kafka.{suffix}"
    path.write_text(content)
    with pytest.raises(LogUrlError, match="Kafka options in") as caught:
        read_url(f"kafka://host?config={path}")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "kafka://host:9092?sasl_plain_password=s3cret",
        "kafka://host:9092?linger_ms=5&ssl_password=s3@cret&prefix=a",
        "kafka://host:9092?SASL_PLAIN_PASSWORD=s3cret",
        "kafka://host:9092?proxy_url=socks5://user:s3cret@proxy",
        "kafka://user:s3cret@host:9092?prefix=a",
        "kafak://user:s3/cret@host:9092?prefix=a",
    ],
)
def test_a_url_is_shown_without_its_secrets(url):
    assert "cret" not in redacted(url)
    assert redacted(url).endswith(url[-8:]) or redacted(url).endswith("***")
    with pytest.raises(LogUrlError) as caught:
        open_log(url.replace("kafka:", "kafak:"))
    assert "cret" not in str(caught.value)


def test_a_client_gets_what_it_knows_and_ours_unless_told_otherwise():
    client = open_client(Client, "one:1,two:2", linger_ms=5, client_rack="r", client_id="mine")
    assert client.options["bootstrap_servers"] == ["one:1", "two:2"]
    assert "linger_ms" not in client.options
    assert (client.options["client_rack"], client.options["client_id"]) == ("r", "mine")
    assert client.options["allow_auto_create_topics"] is False
