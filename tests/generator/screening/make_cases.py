"""Makes the labelled cases of tests/data/gates from hand-written lines and fragments.

    python -m tests.generator.screening.make_cases

The same files always come out; tests/data/gates/README.md says what is in them.
"""

import json
import random
import re
from pathlib import Path

import yaml

from generator.brief.prompts import EXAMPLES

FOLDER = Path(__file__).parents[2] / "data" / "gates"
PARTS = ("tune", "held_out")
PRODUCTS = yaml.safe_load((FOLDER / "products.yaml").read_text(encoding="utf-8"))
FRAGMENTS = yaml.safe_load((FOLDER / "fragments.yaml").read_text(encoding="utf-8"))
MADE = 100
"""How many bad texts are made of a gate's templates, in each part."""


def row(part, good, text, product=None, **more):
    return {"part": part, "good": good, "text": text, "product": product, **more}


def filled(template, name, brief, good, **more):
    keyword = brief["keywords"][0]
    text = template.format(good=good, keyword=keyword, product=brief["product"], **more)
    return text[:1].upper() + text[1:]


def of_templates(gate, part, order, *, limit=MADE, allowed=lambda template, name: True, **slots):
    """Yields the gate's bad templates, each over as many products as it takes, then the good."""
    products = list(PRODUCTS[part].items())
    templates = FRAGMENTS[gate][part]["bad"]
    pairs = [
        (template, name, turn)
        for turn in range(limit // len(templates) + 1)
        for template in templates
        for name in [products[(templates.index(template) + 4 * turn) % len(products)][0]]
        if allowed(template, name)
    ]
    seen = set()
    for template, name, turn in pairs:
        product = PRODUCTS[part][name]
        values = {
            key: found[(turn + templates.index(template)) % len(found)]
            for key, found in slots.items()
        }
        text = filled(template, name, product["brief"], order.choice(product["good"]), **values)
        if text not in seen and len(seen) < limit:
            seen.add(text)
            yield row(part, False, text, name)
    for template in FRAGMENTS[gate][part]["good"]:
        name = order.choice(products)[0]
        product = PRODUCTS[part][name]
        yield row(part, True, filled(template, name, product["brief"], product["good"][0]), name)


def length(part, order):
    for name, product in PRODUCTS[part].items():
        first, *_, last = product["good"]
        yield row(part, False, f"{first}, and what is more, {last.lower()} as well", name)
        yield row(part, False, f"{' '.join(product['good'][:3])}", name)
        yield row(part, False, product["brief"]["brand"].split()[0], name)
        yield row(part, False, product["brief"]["keywords"][-1].split()[0] + ".", name)
        yield row(part, False, str(order.randrange(3000)), name)
        yield row(part, False, order.choice(["...", "?!", "- -", "«»", "€ 5"]), name)


def language(part, order):
    names = list(PRODUCTS[part])
    for code, texts in FRAGMENTS["language"][part].items():
        for text in texts:
            name = order.choice(names)
            if code == "good":
                yield row(part, True, text, name, language="en")
            else:
                yield row(part, False, text, name, language="en")
                yield row(part, True, text, name, language=code)
    codes = [c for c in FRAGMENTS["language"][part] if c not in ("good", "nl", "fi", "id")]
    for name, product in PRODUCTS[part].items():
        for text in product["good"][:3]:
            yield row(part, False, text, name, language=order.choice(codes))


def grammar(part, order):
    names = list(PRODUCTS[part])
    for text in FRAGMENTS["grammar"][part]["bad"]:
        yield row(part, False, text, order.choice(names), how="hand")
    for number, text in enumerate(FRAGMENTS["grammar"]["good"]):
        if number % 2 == PARTS.index(part):
            yield row(part, True, text, order.choice(names))
    for name, product in PRODUCTS[part].items():
        for text in product["good"][:6]:
            broken = mistyped(text, product["brief"], order)
            if broken:
                yield row(part, False, broken, name, how="typing")


def mistyped(text, brief, order):
    """Returns the text with one longer word's letters swapped, dropped or doubled."""
    told = json.dumps(brief).lower()
    longer = [w for w in text.split() if len(w) >= 6 and w.isalpha() and w.lower() not in told]
    if not longer:
        return None
    word = order.choice(longer)
    at = order.randrange(1, len(word) - 2)
    while word[at] == word[at + 1]:
        at = order.randrange(1, len(word) - 2)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    dropped = word[:at] + word[at + 1 :]
    doubled = word[:at] + word[at] * 2 + word[at:]
    return text.replace(word, order.choice([swapped, dropped, doubled]), 1)


def brand(part, order):
    products = PRODUCTS[part]
    for name, product in products.items():
        limits = product["brief"]["constraints"]
        templates = list(FRAGMENTS["brand"][part]["bad"])
        order.shuffle(templates)
        for number, template in enumerate(templates):
            words = [*limits["never_use"], *limits["competitors"]]
            word = words[number % len(words)]
            good = order.choice(product["good"])
            text = template.format(good=good, word=word, WORD=word.upper())
            yield row(part, False, text[:1].upper() + text[1:], name)
            inner = template.format(good=good, word=word[:-1] + "ish", WORD=word.upper()[:-1])
            if number < 2:
                yield row(part, True, inner[:1].upper() + inner[1:], name)


def platform(part, order):
    names = list(PRODUCTS[part])
    for theme, texts in FRAGMENTS["platform"][part].items():
        for text in texts:
            uses = ["{keyword}" in text and n for n in names][:: 6 if "{keyword}" in text else 99]
            for name in uses or names[:1]:
                name = name or order.choice(names)
                brief = PRODUCTS[part][name]["brief"]
                said = filled(text, name, brief, "")
                if theme == "good":
                    yield row(part, True, said, name)
                else:
                    yield row(part, False, said, name, theme=theme)


def claims(part, order):
    for name, product in PRODUCTS[part].items():
        for number, good in enumerate(product["good"][:7]):
            stated = FRAGMENTS["claims"][part]["claims"]
            claim = stated[(number + len(name)) % len(stated)]
            bare = good.split(". Terms apply")[0]
            first, rest = claim.split(" ", 1)
            altered = FRAGMENTS["claims"][part]["altered"][number % 6].format(
                claim=claim,
                CLAIM=claim.upper(),
                first=first,
                rest=rest,
                claim_without_last=claim.rsplit(" ", 1)[0],
            )
            mark = ". " if number % 3 else " – "
            yield row(part, False, f"{bare}{mark}{altered}", name, claims=[claim])
            yield row(part, True, f"{bare}{mark}{claim}", name, claims=[claim])
            if number < 2:
                yield row(part, False, bare, name, claims=[claim])
                yield row(part, True, f"{claim}: {bare}", name, claims=[claim])


def figures(part, order):
    def allowed(template, name):
        told = json.dumps(PRODUCTS[part][name]["brief"]).lower()
        return not ("half" in template.lower() and "half" in told) and "free" not in template

    yield from of_templates("figures", part, order, allowed=allowed)
    for name, product in PRODUCTS[part].items():
        for good in product["good"]:
            for number in re.findall(r"\d[\d,]*", good):
                for other in (order.randrange(101, 999), order.randrange(31, 99)):
                    yield row(part, False, good.replace(number, str(other), 1), name, how="altered")


def unfounded(part, order):
    yield from of_templates(
        "unfounded",
        part,
        order,
        allowed=lambda t, n: (
            not ("free" in t.lower() and "free" in json.dumps(PRODUCTS[part][n]["brief"]))
        ),
    )


def off_topic(part, order):
    """Headlines of another product: the nearer ones read as if they could be ours."""
    names = list(PRODUCTS[part])
    for at, name in enumerate(names):
        for step in range(1, 8):
            other = PRODUCTS[part][names[(at + step) % len(names)]]
            yield row(part, False, order.choice(other["good"]), name)


def nonsense(part, order):
    pool = [w for p in PRODUCTS[part].values() for g in p["good"] for w in g.lower().split()]
    for name, product in PRODUCTS[part].items():
        for good in product["good"][:4]:
            said = good.lower().split()
            if len(said) >= 5:
                order.shuffle(said)
                yield row(part, False, " ".join(said).capitalize(), name, how="shuffled")
        for _ in range(3):
            said = [order.choice(pool) for _ in range(order.randint(4, 8))]
            yield row(part, False, " ".join(said).capitalize(), name, how="drawn")
        letters = "".join(order.choice("bcdfghjklmnprstvw" + "aeiou" * 3) for _ in range(24))
        yield row(
            part,
            False,
            f"{letters[:6]} {letters[6:10]} {letters[10:18]}".capitalize(),
            name,
            how="letters",
        )


def duplicate(part, order):
    said = FRAGMENTS["duplicate"][part]
    for of, likes in zip(said["of"], said["like"], strict=True):
        for like in likes:
            yield row(part, False, like, None, others=said["of"], of=of, how="hand")
    for name, product in PRODUCTS[part].items():
        for good in product["good"][:6]:
            for changed in order.sample(changes(good, order), 1):
                yield row(
                    part, False, changed, name, others=product["good"], of=good, how="changed"
                )
    for name, product in PRODUCTS[part].items():
        for number, good in enumerate(product["good"]):
            others = product["good"][:number] + product["good"][number + 1 :]
            yield row(part, True, good, name, others=others)


def changes(text, order):
    """Returns the text with nothing changed that matters."""
    said = text.split()
    inner = order.randrange(1, len(said))
    found = [text + "!", text.upper(), f"So {text[:1].lower()}{text[1:]}", f"{text}, really"]
    found.append(" ".join([*said[:inner], "very", *said[inner:]]))
    if ", " in text:
        left, right = text.split(", ", 1)
        found.append(f"{right[:1].upper()}{right[1:]}, {left[:1].lower()}{left[1:]}")
    return found


def copied(part, order):
    half = EXAMPLES[PARTS.index(part) :: 2]
    for line in half:
        yield row(part, False, line, None)
        said = line.split()
        yield row(part, False, " ".join([*said[:-1], said[-1].rstrip("?") + "s"]), None)
        yield row(part, False, line + "!", None)
        if len(said) > 4:
            yield row(part, False, "Something else: " + " ".join(said[-3:]), None)


def sets(part, order):
    for name, product in PRODUCTS[part].items():
        for _ in range(8):
            yield row(part, True, None, name, texts=order.sample(product["good"], 5))
        keyword = product["brief"]["keywords"][0]
        said = FRAGMENTS["sets"][part]
        for turn in range(8):
            stem = said["stems"][turn % len(said["stems"])]
            verbs = order.sample(said["verbs"], 4)
            alike = [stem.format(keyword=keyword, verb=verb).capitalize() for verb in verbs]
            texts = [*alike, order.choice(product["good"])]
            order.shuffle(texts)
            yield row(part, False, None, name, texts=texts)


def harm(part, order):
    said = FRAGMENTS["harm"][part]
    names = list(PRODUCTS[part])
    for number, group in enumerate(said["groups"]):
        for template in said["bad"][number % 2 :: 2]:
            text = template.format(group=group)
            yield row(part, False, text[:1].upper() + text[1:], order.choice(names), how="group")
    for text in said["plain"]:
        yield row(part, False, text, order.choice(names), how="plain")
    for text in said["good"]:
        yield row(part, True, text, order.choice(names))


def profanity(part, order):
    yield from of_templates("profanity", part, order, swear=FRAGMENTS["profanity"][part]["swears"])


def templated(gate):
    return lambda part, order: of_templates(gate, part, order)


GATES = {
    "length": length,
    "characters": templated("characters"),
    "markup": templated("markup"),
    "fragment": templated("fragment"),
    "leaked": templated("leaked"),
    "repeats": templated("repeats"),
    "against": templated("against"),
    "language": language,
    "grammar": grammar,
    "profanity": profanity,
    "never_use": brand,
    "platform": platform,
    "harm": harm,
    "required_claims": claims,
    "figures": figures,
    "unfounded": unfounded,
    "off_topic": off_topic,
    "nonsense": nonsense,
    "duplicate": duplicate,
    "copied": copied,
    "crowding": sets,
}


def cases(gate):
    """Returns the gate's own cases, as dicts."""
    made = []
    for part in PARTS:
        order = random.Random(f"{gate}/{part}")
        made += list(GATES[gate](part, order))
    return made


def good_lines():
    """Returns the headlines that every gate is to let through."""
    return [
        row(part, True, text, name)
        for part in PARTS
        for name, product in PRODUCTS[part].items()
        for text in product["good"]
    ]


def to_jsonl(rows):
    kept = ({key: value for key, value in r.items() if value is not None} for r in rows)
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in kept)


def main():
    (FOLDER / "good.jsonl").write_text(to_jsonl(good_lines()), encoding="utf-8")
    for gate in GATES:
        (FOLDER / f"{gate}.jsonl").write_text(to_jsonl(cases(gate)), encoding="utf-8")


if __name__ == "__main__":
    main()
