"""The doors to one service, each asked in its own protocol, for the laws that hold over all."""

from typing import NamedTuple

from streams.events import DECISIONS

IDS = "abc"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Asked(NamedTuple):
    """What a door answered: the event, and what is to be shown, in the order of the slots."""

    response: object
    event_id: str | None
    shown: tuple[str, ...]


class Native:
    """The routes under /v1."""

    name = "/v1"
    private = "user"
    slots = ("top", "side")
    named_events = True

    def decide(self, api, placement, context=None, *, event_id=None, slots=None, headers=None):
        body = {"context": context or {}}
        if event_id is not None:
            body["event_id"] = event_id
        if slots is not None:
            body["slots"] = [{"id": slot} for slot in slots]
        path = f"/v1/placements/{placement}/rank"
        response = api.client.post(path, json=body, headers=headers)
        if not response.is_success:
            return Asked(response, None, ())
        told = response.json()
        chosen = [told] if slots is None else told["slots"]
        return Asked(response, told["event_id"], tuple(one["action"]["id"] for one in chosen))

    def reward(self, api, placement, event_id, value, *, headers=None):
        path = f"/v1/placements/{placement}/events/{event_id}/reward"
        return api.client.post(path, json={"value": value}, headers=headers)

    def code(self, response):
        return response.json()["error"]["code"]


class Outcomes(Native):
    """The same, with outcomes by the route that takes several kinds."""

    name = "/v1 outcomes"

    def reward(self, api, placement, event_id, value, *, headers=None):
        path = f"/v1/placements/{placement}/events/{event_id}/outcomes"
        return api.client.post(path, json={"kind": "reward", "value": value}, headers=headers)


class Bulk(Native):
    """The same, with outcomes by the route that takes those of many placements."""

    name = "/v1 bulk"

    def reward(self, api, placement, event_id, value, *, headers=None):
        item = {"placement": placement, "event_id": event_id, "kind": "reward", "value": value}
        return api.client.post("/v1/outcomes", json=[item], headers=headers)

    def code(self, response):
        told = response.json()
        return told["refused"][0]["code"] if "refused" in told else super().code(response)


class Personalizer:
    """Personalizer's addresses, of one slot or several; the caller brings the actions."""

    name = "personalizer"
    private = "FromUrl.user"
    slots = ("top", "side")
    named_events = True
    rewards = "events"

    def decide(self, api, placement, context=None, *, event_id=None, slots=None, headers=None):
        body = {"actions": [{"id": each, "features": [{"is": each}]} for each in IDS]}
        if context:
            body["contextFeatures"] = [context]
        if event_id is not None:
            body["eventId"] = event_id
        if slots is not None:
            pairs = zip(slots, IDS, strict=False)
            body["slots"] = [{"id": slot, "baselineAction": first} for slot, first in pairs]
        path = "rank" if slots is None else "multislot/rank"
        response = api.client.post(self._url(placement, path), json=body, headers=headers)
        if not response.is_success:
            return Asked(response, None, ())
        told = response.json()
        chosen = [told] if slots is None else told["slots"]
        return Asked(response, told["eventId"], tuple(one["rewardActionId"] for one in chosen))

    def reward(self, api, placement, event_id, value, *, headers=None):
        path, body = self._rewarded(event_id, value)
        headers = {"x-ms-client-request-id": "the-same-request"} | (headers or {})
        return api.client.post(self._url(placement, path), json=body, headers=headers)

    def _rewarded(self, event_id, value):
        return f"events/{event_id}/reward", {"value": value}

    def code(self, response):
        return response.json()["error"]["innerError"]["code"]

    def _url(self, placement, path):
        return f"/placements/{placement}/personalizer/v1.1-preview.3/{path}"


class MultiSlot(Personalizer):
    """The same, with a reward of one slot among several."""

    name = "personalizer slots"

    def _rewarded(self, event_id, value):
        body = {"reward": [{"slotId": "top", "value": value}]}
        return f"multislot/events/{event_id}/reward", body


class OpenFeature:
    """OFREP: a flag is a placement; each event id stands for a user of its own."""

    name = "openfeature"
    private = "user"
    slots = None
    named_events = False

    def __init__(self):
        self._users = 0

    def decide(self, api, placement, context=None, *, headers=None):
        self._users += 1
        body = {"context": {"targetingKey": f"user-{self._users}", **(context or {})}}
        path = f"/ofrep/v1/evaluate/flags/{placement}"
        response = api.client.post(path, json=body, headers=headers)
        if not response.is_success:
            return Asked(response, None, ())
        told = response.json()
        return Asked(response, told["metadata"]["eventId"], (told["variant"],))

    def reward(self, api, placement, event_id, value, *, headers=None):
        details = {"value": value, "flag": placement, "eventId": event_id}
        body = {"event": "reward", "context": {"targetingKey": "u"}, "details": details}
        return api.client.post("/ofrep/v1/track", json=body, headers=headers)

    def code(self, response):
        return response.json()["errorDetails"].partition(":")[0]


def decisions(api, placement):
    return [d for d in api.logged(DECISIONS) if d.placement == placement]


DECIDING = (Native(), Personalizer(), OpenFeature())
REWARDING = (Native(), Outcomes(), Bulk(), Personalizer(), MultiSlot(), OpenFeature())
