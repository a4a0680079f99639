"""The README's examples of the client, as they stand, against a real server."""

import re

from streams.events import OUTCOMES
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import running
from tests.readme import section


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", section("The Python client"), re.DOTALL)
    assert len(examples) == 2
    with running(MemoryLog()) as api:
        api.placement("home")
        for example in examples:
            names = {}
            exec(example.replace("http://localhost:8080", api.url).replace('"…"', '"key"'), names)
            assert names["decision"].source == "policy"
            assert [o.kind for o in api.outcomes(names["decision"].event_id)] == ["click"]
        assert names["lost"] == 0
        assert len(api.logged(OUTCOMES)) == 2
    assert "Text of" in capsys.readouterr().out
