"""`python -m bandit`: serve a policy, learn, replay, audit; `up` starts it all."""

from bandit.commands import app
from bandit.errors import BanditError
from streams.errors import StreamsError
from streams.process import run_command

if __name__ == "__main__":
    run_command(app, StreamsError, BanditError)
