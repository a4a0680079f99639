"""The ways to open a text, with an example of each for three products that a model is shown.

The openings keep a small model on the product and make its texts differ. They are English; what
is asked for in another language has none.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Frame(NamedTuple):
    """A way to open a text, and a text for each of `PRODUCTS` that does.

    `opening` is the beginning; {keyword}, {fact}, {moment} (a holiday or season), {claim} (an
    allowed claim), {who} (a segment) and {goal} stand for one of the brief's, and a frame whose
    word the brief lacks is left out.
    """

    name: str
    opening: str
    examples: tuple[str, str, str]


PRODUCTS: Final = (
    "a cordless drill for people who fix up their homes (charges fast, light, quiet)",
    "herbal sleep tea for tired parents (chamomile, lemon balm, no caffeine)",
    "online piano lessons for adult beginners (short lessons, real teachers)",
)
LINES: Final = (
    Frame(
        "benefit",
        "{keyword} that",
        (
            "A drill that never makes you wait",
            "A tea that turns the day down low",
            "Lessons that fit in a lunch break",
        ),
    ),
    Frame(
        "fact",
        "{fact},",
        (
            "Charges fast, works all weekend",
            "No caffeine, just a calmer night",
            "Short lessons, songs you know by Friday",
        ),
    ),
    Frame(
        "the",
        "The {keyword} you",
        (
            "The shelves you always meant to hang",
            "The nights you look forward to",
            "The music you always wanted to play",
        ),
    ),
    Frame(
        "question",
        "Ready for",
        (
            "Ready for a wall of new shelves?",
            "Ready for a full night's sleep?",
            "Ready for your first song?",
        ),
    ),
    Frame(
        "make",
        "Make {keyword}",
        ("Make Saturdays count", "Make nights quiet again", "Make music after work"),
    ),
    Frame(
        "meet",
        "Meet the",
        (
            "Meet the drill that finishes first",
            "Meet the tea that ends the day",
            "Meet the teacher who comes to you",
        ),
    ),
    Frame(
        "enjoy",
        "Enjoy",
        (
            "Enjoy a home that is finished",
            "Enjoy a night without interruptions",
            "Enjoy your first song this week",
        ),
    ),
    Frame(
        "because",
        "Because {keyword}",
        (
            "Because shelves should not wait",
            "Because nights are better in peace",
            "Because music is for everyone",
        ),
    ),
    Frame(
        "better",
        "Better {keyword},",
        (
            "Better shelves, built by you",
            "Better nights, one cup at a time",
            "Better music, note by note",
        ),
    ),
    Frame(
        "more",
        "More {keyword}, more",
        (
            "More shelves, more room to live",
            "More calm, more sleep",
            "More music, more evenings at home",
        ),
    ),
    Frame(
        "your",
        "Your {keyword},",
        (
            "Your shelves, up in no time",
            "Your nights, calm at last",
            "Your music, played by you",
        ),
    ),
    Frame(
        "where",
        "Where {keyword}",
        (
            "Where shelves go up in minutes",
            "Where nights are quiet again",
            "Where music begins with you",
        ),
    ),
    Frame(
        "keep",
        "Keep your {keyword}",
        (
            "Keep your shelves straight for good",
            "Keep your nights calm and long",
            "Keep your music going all week",
        ),
    ),
    Frame(
        "take",
        "Take your {keyword}",
        ("Take your shelves to new heights", "Take your nights slowly", "Take your music anywhere"),
    ),
    Frame(
        "urgency",
        "This {moment},",
        (
            "This weekend, hang every shelf",
            "This winter, sleep the night through",
            "This spring, play your first song",
        ),
    ),
    Frame(
        "social proof",
        "{claim}:",
        (
            "Loved by carpenters: a drill for real walls",
            "Chosen by tired parents: calm in a cup",
            "Praised by beginners: lessons that stay",
        ),
    ),
    Frame(
        "contrast",
        "More than {keyword}:",
        (
            "More than shelves: a home that is done",
            "More than tea: a night in peace",
            "More than music: an evening of your own",
        ),
    ),
    Frame(
        "segment",
        "For {who},",
        (
            "For weekend builders, a faster drill",
            "For tired parents, a longer night",
            "For late starters, a first song",
        ),
    ),
)
SENTENCES: Final = (
    Frame(
        "benefit",
        "{keyword} that",
        (
            "A drill that charges over lunch and has the shelves up before dinner.",
            "A tea that slows the evening down and lets the whole house sleep.",
            "Lessons that fit between work and dinner, with a teacher who listens.",
        ),
    ),
    Frame(
        "fact",
        "{fact},",
        (
            "Charges fast, stays quiet, and is light enough for the top shelf.",
            "No caffeine, only chamomile and lemon balm for a calmer night.",
            "Short lessons, real teachers, and songs you know by heart in spring.",
        ),
    ),
    Frame(
        "question",
        "Ready for",
        (
            "Ready for a wall of shelves? Charge the drill over lunch and start.",
            "Ready for a full night? Put the kettle on and let the day go.",
            "Ready for your first song? Sit down with a teacher this week.",
        ),
    ),
    Frame(
        "urgency",
        "This {moment},",
        (
            "This weekend, put up every shelf that has waited since you moved in.",
            "This winter, end each day with a warm cup and a long quiet night.",
            "This spring, learn the songs that you have hummed for years.",
        ),
    ),
    Frame(
        "social proof",
        "{claim}:",
        (
            "Loved by carpenters: a quiet drill that is light enough for every day.",
            "Chosen by tired parents: a cup of calm when the house is still.",
            "Praised by beginners: lessons that stay with you after the last note.",
        ),
    ),
    Frame(
        "contrast",
        "More than {keyword}:",
        (
            "More than shelves: a home that is finished, by your own two hands.",
            "More than tea: a small pause before the night, every single day.",
            "More than music: an hour each week that is yours alone.",
        ),
    ),
    Frame(
        "segment",
        "For {who},",
        (
            "For weekend builders, a drill that is charged whenever you are.",
            "For tired parents, a cup that makes the evening a little longer.",
            "For late starters, a teacher with time and songs worth playing.",
        ),
    ),
    Frame(
        "goal",
        "{goal}",
        (
            "Pick up the drill on Friday and have the shelves full by Sunday.",
            "Put the kettle on at nine and be asleep well before eleven.",
            "Book a first lesson today and play for friends by the summer.",
        ),
    ),
    Frame(
        "enjoy",
        "Enjoy",
        (
            "Enjoy a home where every shelf is straight and every door closes.",
            "Enjoy a night without interruptions and a morning without a rush.",
            "Enjoy an evening at the piano with songs that you chose yourself.",
        ),
    ),
    Frame(
        "make",
        "Make {keyword}",
        (
            "Make Saturdays count with a drill that never keeps you waiting.",
            "Make nights quiet again with one warm cup before you turn in.",
            "Make music after work with a teacher who meets you at home.",
        ),
    ),
)
EXAMPLES: Final = tuple(text for frame in (*LINES, *SENTENCES) for text in frame.examples)
"""Everything that a model is shown, and so must not write."""
