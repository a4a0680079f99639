"""`python -m generator`: generate from a brief, serve requests, teach, and the demo."""

from bandit.errors import BanditError
from generator.commands.main import generator_app
from generator.errors import GeneratorError
from streams.errors import StreamsError
from streams.process import run_command

if __name__ == "__main__":
    run_command(generator_app, StreamsError, BanditError, GeneratorError)
