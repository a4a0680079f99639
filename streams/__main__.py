"""`python -m streams`: the joiner, the archive, outcomes from elsewhere, and the log itself."""

from streams.commands.log import app
from streams.errors import StreamsError
from streams.process import run_command

if __name__ == "__main__":
    run_command(app, StreamsError)
