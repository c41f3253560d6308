// The reference server of the protocol, graphql-ws on ws, with Node's own event emitter in between.
import { EventEmitter, on } from "node:events";
import { createServer } from "node:http";
import { useServer } from "graphql-ws/use/ws";
import { buildSchema } from "graphql";
import { WebSocketServer } from "ws";
import { ALL_ORDERS, topicOf, typeDefs } from "./schema.mjs";

const events = new EventEmitter();
events.setMaxListeners(0);
const schema = buildSchema(typeDefs);
schema.getSubscriptionType().getFields().orderEvents.subscribe = async function* (_, given) {
  for await (const [event] of on(events, topicOf(given))) yield { orderEvents: event };
};

const server = createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    for (const event of JSON.parse(body || "[]"))
      for (const topic of [ALL_ORDERS, event.order.id]) events.emit(topic, event);
    response.setHeader("Content-Length", 2);
    response.end("{}");
  });
});
useServer({ schema }, new WebSocketServer({ server, path: "/graphql" }));
server.listen(Number(process.argv[2]), "127.0.0.1");
