// Has Personalizer's second JavaScript client run an evaluation at the given endpoint, and prints
// what it was answered as one line of JSON.
// A CommonJS package, whose default export is a field to modules.
import restClient from "@azure-rest/ai-personalizer";

const [endpoint, startTime, endTime] = process.argv.slice(2);
const client = restClient.default(endpoint, { key: "any" }, { allowInsecureConnection: true });
const policies = [{ name: "quick", arguments: "--cb_explore_adf --cb_type mtr -l 0.5 -q ::" }];

const created = await client.path("/evaluations").post({
  body: { name: "from Node", startTime, endTime, policies, enableOfflineExperimentation: false },
});
const id = created.body.id;
const one = client.path("/evaluations/{evaluationId}", id);
let read = await one.get();
for (let asked = 0; read.body.status === "pending" && asked < 300; asked += 1) {
  await new Promise((resolve) => setTimeout(resolve, 200));
  read = await one.get();
}
const listed = await client.path("/evaluations").get();
const refused = await client.path("/evaluations").post({
  body: { name: "backwards", startTime: endTime, endTime: startTime, policies },
});
const deleted = await one.delete();
const gone = await one.get();
const answers = { created, read, listed, refused, deleted, gone };
console.log(
  JSON.stringify(
    Object.fromEntries(
      Object.entries(answers).map(([name, { status, body }]) => [name, { status, body }]),
    ),
  ),
);
