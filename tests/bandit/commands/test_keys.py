"""`copyloop keys` and `copyloop acts`, and the refusal to serve a network without keys."""

import json
import subprocess

import pytest

from bandit.errors import SettingError
from bandit.service.auth.keys import KeyRing
from bandit.service.auth.tls_cors import check_exposure
from bandit.service.settings import Settings
from streams.commands.output import WIDTH, print_rows
from streams.logs.embedded import MemoryLog, wall_clock_ms
from streams.logs.sqlite import SqliteLog
from streams.topics import create_topics
from tests.bandit.service.api_server import code_of, running
from tests.running import COPYLOOP


def copyloop(*words, code=0):
    command = [*COPYLOOP, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_keys_are_made_listed_rotated_and_revoked_by_hand(tmp_path):
    data = ["--data", tmp_path]
    made = copyloop("keys", "create", "shop", "--scope", "rank", "--scope", "reward", *data)
    text = made.stdout.strip()
    assert text.startswith("cl_")
    assert text not in made.stderr
    key_id = text.split("_")[1]
    (listed,) = json.loads(copyloop("keys", "list", "--format", "json", *data).stdout)
    assert listed["id"] == key_id
    assert listed["scopes"] == ["rank", "reward"]
    log = SqliteLog(tmp_path / "log.db")
    with running(log) as api:
        assert code_of(api.rank("home")) == (401, "unauthenticated")
        headers = {"X-API-Key": text}
        asked = api.client.post("/v1/placements/home/rank", json={}, headers=headers)
        assert code_of(asked) == (404, "placement_not_found")
    log.close()
    other = copyloop("keys", "rotate", key_id, "--grace-hours", 0, *data).stdout.strip()
    assert other != text
    assert other.split("_")[1] == key_id
    assert "opens nothing" in copyloop("keys", "revoke", key_id, *data).stdout
    assert "nothing was changed" in copyloop("keys", "revoke", key_id, *data).stdout
    assert "ended" in copyloop("keys", "list", *data).stdout
    acts = json.loads(copyloop("acts", "--format", "json", *data).stdout)
    assert [act["what"] for act in acts] == ["key created", "key rotated", "key revoked"]
    assert {act["who"].split(":")[0] for act in acts} == {"cli"}
    assert "key rotated" in copyloop("acts", "--last", 2, *data).stdout


def test_commands_say_what_is_wrong(tmp_path):
    refused = copyloop("keys", "create", "x", "--scope", "root", "--data", tmp_path, code=2)
    assert "'root' is none of rank, reward" in refused.stderr
    assert not (tmp_path / "log.db").exists()
    assert "there is no log" in copyloop("keys", "list", "--data", tmp_path, code=2).stderr
    copyloop("keys", "create", "x", "--scope", "rank", "--data", tmp_path)
    unknown = copyloop("keys", "revoke", "nobody", "--data", tmp_path, code=2)
    assert "key_not_found" in unknown.stderr


def test_serving_a_network_without_keys_is_refused_unless_it_is_meant(tmp_path):
    command = ["bandit", "serve", "--host", "0.0.0.0", "--port", "0", "--data", tmp_path]
    refused = copyloop(*command, code=2)
    assert "setting_invalid" in refused.stderr
    assert "copyloop keys create" in refused.stderr
    assert "COPYLOOP_OPEN_TO_NETWORK" in refused.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_which_addresses_are_public(host):
    log = MemoryLog()
    create_topics(log)
    ring = KeyRing(log, wall_clock_ms)
    with pytest.raises(SettingError, match="there are no keys"):
        check_exposure(Settings(host=host), ring)
    check_exposure(Settings(host=host, open_to_network=True), ring)
    for private in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        check_exposure(Settings(host=private), ring)


@pytest.mark.parametrize(
    "words",
    [
        ("",),
        ("  ",),
        ("x" * 257,),
        ("shop", "--placement", ""),
        ("shop", "--placement", "home", "--placement", " "),
        ("shop", "--lasts-days", "0"),
        ("shop", "--rate-per-second", "0"),
    ],
)
def test_a_key_without_a_name_or_of_no_placement_is_refused(tmp_path, words):
    done = copyloop("keys", "create", *words, "--scope", "rank", "--data", tmp_path, code=2)
    assert "Invalid value" in done.stderr
    assert not (tmp_path / "log.db").exists()


def test_the_answer_says_where_a_key_opens(tmp_path):
    where = ("--placement", "home", "--placement", "shop-*")
    made = copyloop("keys", "create", "k", "--scope", "rank", *where, "--data", tmp_path)
    assert "may rank, in home, shop-*;" in made.stderr
    everywhere = copyloop("keys", "create", "k", "--scope", "rank", "--data", tmp_path)
    assert "in all placements" in everywhere.stderr


def test_long_names_leave_room_for_what_was_done(capsys):
    columns = ("when (UTC)", "who", "what", "to what", "before", "after")
    long = ("2026-12-01 01:05:33", "x" * 200, "key created", "y" * 90, None, '{"a":1}')
    print_rows("table", columns, [long])
    told = capsys.readouterr().out
    assert "key created" in told
    assert '{"a":1}' in told
    assert max(map(len, told.splitlines())) <= WIDTH
