"""A log in which creatives of known quality were shown, some to easier users than others."""

import msgspec
import numpy as np

from bandit.features.flatten import creative_features
from generator.brief.schema import brief_from_json, brief_hash
from streams.catalogue.state import catalogue_message
from streams.events import (
    INTERACTIONS,
    Generation,
    Lineage,
    Placement,
    decode,
)
from streams.fold import scan_topic
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics
from tests.bandit.decisions import a_creative
from tests.generator.shown import interaction, message

RATES = {"Beans that wake you": 0.3, "Coffee, daily": 0.2, "Brown water": 0.1, "Hot cup": 0.2}


def raw_brief(product):
    return msgspec.Raw(msgspec.json.encode({"version": 2, "product": product, "facts": ["fresh"]}))


def made_creative(text, number, generation, brief):
    told = {"at_ms": 1000 * int(generation[1:]), "features": creative_features({"headline": text})}
    lineage = Lineage(generation_id=generation, brief=brief_hash(brief_from_json(brief)))
    return a_creative(f"{generation}-{number}", text, lineage=lineage, **told)


def made_log(*, products=("coffee",), shown=4000, seed=0, rates=RATES, log=None):
    """Returns a log with a generation of the same texts for each product.

    Every other user is easy and clicks twice as often; the policy knows, and shows the worst text
    to easy ones mostly.
    """
    rng = np.random.default_rng(seed)
    log = log or MemoryLog()
    create_topics(log)
    log.append([catalogue_message(Placement(name="home"))])
    for k, product in enumerate(products):
        generation, brief = f"g{k}", raw_brief(product)
        request = Generation(
            id=generation,
            placement="home",
            brief=brief,
            n=len(rates),
            seed=1,
            status="done",
            timestamp_ms=1000 * k,
        )
        creatives = [made_creative(text, n, generation, brief) for n, text in enumerate(rates)]
        log.append([catalogue_message(event) for event in (request, *creatives)])
        interactions = _shown(rng, creatives, list(rates.values()), shown, k)
        log.append([message(each) for each in interactions])
    return log


def interactions(log):
    """Returns what was shown, as it stands in the log."""
    return (decode(record.value) for record in scan_topic(log, INTERACTIONS))


def _shown(rng, creatives, rates, shown, k):
    names = [creative.id for creative in creatives]
    worst = int(np.argmin(rates))
    for number in range(shown):
        easy = number % 2 == 0
        pmf = np.full(len(rates), 0.1 / (len(rates) - 1))
        pmf[worst] = 0.9
        if not easy:
            pmf = np.full(len(rates), 0.97 / (len(rates) - 1))
            pmf[worst] = 0.03
        pmf /= pmf.sum()
        index = int(rng.choice(len(rates), p=pmf))
        rate = rates[index] * (2.0 if easy else 0.2)
        yield interaction(
            k * shown + number,
            names,
            index,
            rng.random() < rate,
            pmf=tuple(pmf.tolist()),
            context=msgspec.Raw(msgspec.json.encode({"user": {"easy": easy}})),
        )
