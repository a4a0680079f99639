"""All commands of `bandit` under one name."""

from __future__ import annotations

from bandit.commands import creatives, imports, keys, policy
from bandit.commands.evaluate import evaluate, tune
from bandit.commands.operations import audit, doctor, forget
from bandit.commands.processes import dashboard, learn, serve
from bandit.commands.replay import fit_delay, fit_prior, replay
from bandit.commands.up import up
from streams.commands.options import make_app

app = make_app(
    "The policy: serve, learn, replay, audit.",
    {
        "acts": keys.acts,
        "evaluate": evaluate,
        "tune": tune,
        "forget": forget,
        "replay": replay,
        "fit-prior": fit_prior,
        "fit-delay": fit_delay,
        "doctor": doctor,
        "dashboard": dashboard,
        "up": up,
        "serve": serve,
        "learn": learn,
        "audit": audit,
    },
)
app.add_typer(policy.app, name="policy")
app.add_typer(keys.app, name="keys")
app.add_typer(imports.app, name="import")
app.add_typer(creatives.app, name="creatives")
