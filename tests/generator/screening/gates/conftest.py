"""A brief that gates of form and of truth are held to."""

from generator.brief.schema import Brief, Environment

BRIEF = Brief(
    product="a night train to Stockholm",
    brand="Nordlys",
    facts=("breakfast in bed", "from 49 euros", "free for children"),
    keywords=("journeys",),
    environment=Environment(site="a travel magazine"),
    voice="warm and plain",
)
