"""What every figure on the pages is, in the design's words: shown where it is asked for."""

from __future__ import annotations

from typing import Final

WORDS: Final = {
    "placement": "A named spot where one creative is chosen. It owns its creatives, its policy, "
    "its reward and its exploration.",
    "creative": "A candidate: its text, its material, and its lineage.",
    "traffic": "How many decisions were counted: each is one showing, joined with its outcomes.",
    "rate": "The mean reward of a showing. The band is mean ± 1.96 standard errors, which covers "
    "at 95 % for one look, not for stopping when it pleases.",
    "reward": "What a placement's outcomes add up to, by its reward rule.",
    "lift_uniform": "What a decision earns beyond choosing uniformly among the same creatives, "
    "estimated from the logged propensities. The interval holds at all times with 95 %: you may "
    "look as often as you like.",
    "lift_baseline": "What a decision earns beyond always showing the baseline creative, since "
    "the present policy is served. The interval holds at all times with 95 %.",
    "health": "Whether the figures are read to the log's end, and when the last decision was "
    "counted.",
    "share": "The part of the last minute's decisions that the policy gave a creative: its mean "
    "propensity.",
    "posterior": "What the policy believes a creative to earn: the mean, and the middle 95 %.",
    "pmf": "The policy's propensities over all actions; they add up to 1.",
    "propensity": "The logged probability of the action that was chosen.",
    "exploration": "The mean propensity that was not on the likeliest creative: what is spent on "
    "finding out.",
    "policy": "What makes a pmf of a context and its actions.",
    "policy_version": "The hash of the policy's bytes, and the offset it was folded to.",
    "policies": "The policies that the placement has had. A change is one event in the catalogue, "
    "with why.",
    "segments": "Which creative earns the most where the context has this value, by its mean; it "
    "is sure if its band is clear of the band of every other.",
    "delay": "How long after its decision an outcome came: the part of those that came at all, by "
    "time.",
    "fatigue": "What a showing earns by how often its user saw the creative before, where the "
    "context says so.",
    "drift": "Whether what a creative earns changed over time. You may look as often as you like: "
    "false alarms are one in a hundred over all looks at it.",
    "status": "proposed → screened → live → paused → retired; or rejected, with a reason.",
    "lineage": "Where a creative came from: generator version, brief, parent, prompt, seed.",
    "champion": "The generator version whose creatives go live: the one that writes now.",
    "version": "The generator, fine-tuned once: its adapter and manifest never change, its status "
    "does.",
    "gate": "The rules that a version has to pass before any of its creatives is shown.",
    "canary": "A version's creatives beside the champion's, with a lid on their traffic, until the "
    "intervals of what they earn tell them apart.",
    "evaluation": "What other policies would have earned with this placement's log, estimated from "
    "the logged propensities.",
    "judged": "What a decision would have earned under the policy, by SNIPS, with its 95 % "
    "interval.",
    "over_logged": "By how much that is more than what was shown did earn, on the same decisions.",
    "verdict": "Whether the log can tell at all: it cannot where the policy would have shown what "
    "the log hardly ever did.",
    "ready": "Whether the API takes requests: it follows the catalogue, and appends go somewhere.",
    "lag": "How many records a process has not read, or has read but not saved, yet. One that does "
    "not move while others write is down.",
    "doctor": "What `copyloop doctor` finds: settings aside, the same, as the API sees it.",
    "dead_letter": "A record that nobody could use, as it was, with the reason. Sent again, it "
    "goes to its own topic; its id keeps it from counting twice.",
    "gates": "What each gate of the screening measured.",
}
