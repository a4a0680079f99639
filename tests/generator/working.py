"""A generator at work on a log: requests, and running it until they are answered."""

import threading
import time

from generator.brief.schema import Brief, brief_to_json
from generator.worker import run_generator
from streams.catalogue.state import catalogue_message
from streams.events import Generation, Placement
from streams.topics import create_topics
from tests.bandit.histories import catalogue_of

BRIEF = Brief(product="coffee beans by post", keywords=("coffee", "mornings"))
LINES = [' calm and easy"', ' warm and slow"', ' www.beans"', ' warm and slow"', ' bright"']


def requested(name="g", *, n=3, brief=None, **changes):
    data = brief_to_json(BRIEF) if brief is None else brief
    values = {"placement": "home", "seed": 1, "timestamp_ms": 1_000, **changes}
    return Generation(id=name, n=n, brief=data, status="requested", **values)


def prepare(log, *events):
    create_topics(log)
    placement = Placement(name="home")
    log.append([catalogue_message(event) for event in (placement, *events)])
    return log


def run(log, directory, backend, *, until=None):
    """Runs a generator until every request is answered, or until what is given is true."""
    return run_opening(log, directory, lambda _: backend, until=until)


def run_opening(log, directory, opened, *, until=None, **options):
    """Runs a generator that opens its model so."""

    def answered():
        return all(g.status != "requested" for g in catalogue_of(log).generations())

    stop = threading.Event()
    arguments = {"model": "smollm2", "stop": stop, "opened": opened, **options}
    thread = threading.Thread(target=run_generator, args=(log, directory), kwargs=arguments)
    thread.start()
    try:
        while thread.is_alive() and not (until or answered)():
            time.sleep(0.02)
    finally:
        stop.set()
        thread.join()
    return catalogue_of(log)
