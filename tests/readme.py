"""The console examples of the READMEs, taken apart for the tests that run them."""

import json
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parent.parent
GUIDES = [
    (ROOT / folder / "README.md").read_text()
    for folder in (
        ".",
        "bandit",
        "bandit/dashboard",
        "bandit/service",
        "bandit/service/compat/personalizer",
        "streams",
        "generator",
    )
]
README = "\n".join(GUIDES)


def section(title):
    """The text under a heading, up to the next one of its rank."""
    [guide] = [guide for guide in GUIDES if f"\n## {title}\n" in guide]
    return guide.split(f"\n## {title}\n")[1].split("\n## ")[0]


def lines(text=README):
    """Every command of the console blocks, as it stands; a quoted body may go over several lines.

    What a command prints, below it, is left out.
    """
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            told = command.splitlines()
            # a command ends with the first line at which its quotes are balanced
            for end in range(1, len(told) + 1):
                line = "\n".join(told[:end])
                if not line.endswith(("\\", "|")) and is_balanced(line):
                    yield line
                    break
            else:
                raise AssertionError(f"unbalanced quotes in the README: {command}")


def commands(text=README):
    """The same, each as a list of words."""
    return [shlex.split(line, comments=True) for line in lines(text)]


def is_balanced(line):
    try:
        shlex.split(line, comments=True)
    except ValueError:
        return False
    return True


def send(client, words, event_id):
    """Does with the client what a curl command does, and returns the answer."""
    method, body, path = "GET", None, None
    rest = iter(words[1:])
    for word in rest:
        match word:
            case "-X":
                method = next(rest)
            case "-H":
                next(rest)
            case "-d":
                body = json.loads(next(rest))
                method = "POST" if method == "GET" else method
            case _:
                if "localhost:8080" in word:
                    path = word.partition("localhost:8080")[2]
    assert path is not None, words
    return client.request(method, path.replace("EVENT_ID", event_id), body)
