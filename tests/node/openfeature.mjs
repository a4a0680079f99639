// Runs the official OpenFeature providers against a real server, and prints what they got.
import { OpenFeature } from "@openfeature/server-sdk";
import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OpenFeature as WebFeature } from "@openfeature/web-sdk";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";

const [url, flag, user] = process.argv.slice(2);
const context = { targetingKey: user, device: "phone" };

async function onTheServer() {
  await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: url }));
  const client = OpenFeature.getClient();
  const found = {
    first: await client.getStringDetails(flag, "fallback", context),
    again: await client.getStringDetails(flag, "fallback", context),
    missing: await client.getStringDetails("no-such-flag", "fallback", context),
    anonymous: await client.getStringDetails(flag, "fallback", {}),
  };
  await OpenFeature.close();
  return found;
}

async function inABrowser() {
  // A browser's own fetch, to see what is cached: the provider sends If-None-Match by itself.
  const statuses = [];
  const watched = async (...call) => {
    const answer = await fetch(...call);
    statuses.push(answer.status);
    return answer;
  };
  await WebFeature.setContext(context);
  const provider = new OFREPWebProvider({ baseUrl: url, pollInterval: 100, fetchImplementation: watched });
  await WebFeature.setProviderAndWait(provider);
  const client = WebFeature.getClient();
  const first = client.getStringDetails(flag, "fallback");
  while (statuses.length < 3) await new Promise((done) => setTimeout(done, 20));
  const again = client.getStringDetails(flag, "fallback");
  await WebFeature.close();
  return { first, again, statuses };
}

console.log(JSON.stringify({ server: await onTheServer(), web: await inABrowser() }));
process.exit(0);
