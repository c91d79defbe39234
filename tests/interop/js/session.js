// The scripted session with MQTT.js. In Node.js: session.js URL VERSION NAME, prints what it saw as
// JSON. In a browser: the same from the page's query, and it posts what it saw to /seen.
const browser = typeof window === "object";
const library = browser ? window.mqtt : require("mqtt");
const Bytes = browser ? window.TextEncoder : null;
const bytes = (text) => (browser ? new Bytes().encode(text) : Buffer.from(text));
const query = browser ? new URLSearchParams(window.location.search) : null;
const [url, version, name] = browser
  ? ["url", "version", "name"].map((key) => query.get(key)) : process.argv.slice(2);
const v5 = version === "5";

function open(clientId, options = {}) {
  return library.connectAsync(url, {
    clientId, protocolVersion: Number(version), reconnectPeriod: 0, ...options,
  });
}

// Messages of a client, one after the other.
function inbox(client) {
  const got = [];
  const waiting = [];
  client.on("message", (topic, payload, packet) => {
    const message = { topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain,
                      properties: packet.properties };
    const next = waiting.shift();
    next ? next(message) : got.push(message);
  });
  return {
    next: () => (got.length ? Promise.resolve(got.shift()) : new Promise((r) => waiting.push(r))),
    count: () => got.length,
  };
}

async function main() {
  const seen = {};
  const client = await open(name);
  const messages = inbox(client);
  await client.subscribeAsync(`${name}/#`, { qos: 2 });
  for (const qos of [0, 1, 2]) await client.publishAsync(`${name}/${qos}`, `m${qos}`, { qos });
  seen.messages = [];
  for (let n = 0; n < 3; n++) {
    const { topic, payload, qos } = await messages.next();
    seen.messages.push([topic.slice(name.length), payload, qos]);
  }

  await client.publishAsync(`${name}/kept`, "kept", { qos: 1, retain: true });
  await messages.next();
  await client.unsubscribeAsync(`${name}/#`);
  await client.subscribeAsync(`${name}/kept`, { qos: 1 });
  const kept = await messages.next();
  seen.retained = [kept.payload, kept.retain];
  await client.publishAsync(`${name}/kept`, "", { qos: 1, retain: true });
  await messages.next();

  const session = v5
    ? { clean: false, properties: { sessionExpiryInterval: 60 } }
    : { clean: false };
  const away = await open(`${name}-away`, session);
  await away.subscribeAsync(`${name}/away`, { qos: 1 });
  await away.endAsync();
  await client.publishAsync(`${name}/away`, "waited", { qos: 1 });
  const back = library.connect(url, {
    clientId: `${name}-away`, protocolVersion: Number(version), reconnectPeriod: 0, ...session,
  });
  const late = inbox(back);
  seen.present = await new Promise((r) => back.on("connect", (c) => r(c.sessionPresent)));
  seen.waited = (await late.next()).payload;
  await back.endAsync();

  const goner = await open(`${name}-goner`, {
    will: { topic: `${name}/kept`, payload: bytes("gone"), qos: 1, retain: false },
  });
  goner.stream.destroy();
  seen.will = (await messages.next()).payload;

  if (v5) {
    const aliased = await open(`${name}-aliased`, { properties: { topicAliasMaximum: 10 } });
    const heard = inbox(aliased);
    await aliased.subscribeAsync(`${name}/request`, {
      qos: 1, properties: { subscriptionIdentifier: 7 },
    });
    for (let n = 0; n < 2; n++) {
      await client.publishAsync(`${name}/request`, "ask", {
        qos: 1,
        properties: {
          responseTopic: "answers", correlationData: bytes("42"),
          messageExpiryInterval: 100, userProperties: { a: "1", b: "2" },
        },
      });
      const { topic, properties } = await heard.next();
      seen.request = [
        topic.slice(name.length), properties.responseTopic, properties.correlationData.toString(),
        { ...properties.userProperties }, properties.subscriptionIdentifier,
        properties.messageExpiryInterval > 90,
      ];
    }
    await aliased.endAsync();
  }
  await client.endAsync();
  return JSON.stringify(seen);
}

function report(text) {
  return browser ? fetch("/seen", { method: "POST", body: text }) : console.log(text);
}

main().then(report, (fault) => {
  console.error(fault);
  return browser ? report(`${fault}`) : process.exit(1);
});
