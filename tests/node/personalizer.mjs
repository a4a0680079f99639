// Runs Personalizer's two JavaScript clients against the server at the given endpoint, and prints
// what they answered as one line of JSON.
import { ApiKeyCredentials } from "@azure/ms-rest-js";
import { PersonalizerClient } from "@azure/cognitiveservices-personalizer";
// A CommonJS package, whose default export is a field to modules.
import restClient from "@azure-rest/ai-personalizer";

const endpoint = process.argv[2];
const prefix = process.argv[3];
const actions = ["a", "b", "c"].map((id) => ({ id, features: [{ kind: id }] }));

async function first() {
  const credentials = new ApiKeyCredentials({
    inHeader: { "Ocp-Apim-Subscription-Key": "any" },
  });
  const client = new PersonalizerClient(credentials, endpoint);
  const eventId = `${prefix}-first`;
  const ranked = await client.rank({
    eventId,
    actions,
    contextFeatures: [{ device: "phone" }],
    excludedActions: ["b"],
    deferActivation: true,
  });
  const rewarded = await client.events.reward(eventId, { value: 0.5 });
  const activated = await client.events.activate(eventId);
  const refused = await client.rank({ actions: [] }).then(
    () => null,
    (error) => ({ status: error.statusCode, error: error.body.error }),
  );
  return {
    ranked: { ranking: ranked.ranking, eventId: ranked.eventId, shown: ranked.rewardActionId },
    statuses: [ranked, rewarded, activated].map((one) => one._response.status),
    refused,
  };
}

async function rest() {
  const client = restClient.default(endpoint, { key: "any" }, { allowInsecureConnection: true });
  const eventId = `${prefix}-rest`;
  const answers = {
    ranked: await client.path("/rank").post({ body: { eventId, actions } }),
    rewarded: await client.path("/events/{eventId}/reward", eventId).post({ body: { value: 1 } }),
    activated: await client.path("/events/{eventId}/activate", eventId).post(),
    slots: await client.path("/multislot/rank").post({
      body: {
        eventId: `${eventId}-slots`,
        actions,
        slots: [
          { id: "top", baselineAction: "a", features: [{ size: "large" }] },
          { id: "side", baselineAction: "b", excludedActions: ["c"] },
        ],
      },
    }),
    slotsRewarded: await client
      .path("/multislot/events/{eventId}/reward", `${eventId}-slots`)
      .post({ body: { reward: [{ slotId: "side", value: 1 }] } }),
    slotsActivated: await client
      .path("/multislot/events/{eventId}/activate", `${eventId}-slots`)
      .post(),
    configuration: await client.path("/configurations/service").get(),
    policy: await client.path("/configurations/policy").get(),
    model: await client.path("/model").get(),
    modelProperties: await client.path("/model/properties").get(),
    logProperties: await client.path("/logs/properties").get(),
    logsDeleted: await client.path("/logs").delete(),
    evaluations: await client.path("/evaluations").get(),
    refused: await client.path("/rank").post({ body: { actions: [] } }),
  };
  return Object.fromEntries(
    Object.entries(answers).map(([name, { status, body }]) => [name, { status, body }]),
  );
}

console.log(JSON.stringify({ first: await first(), rest: await rest() }));
