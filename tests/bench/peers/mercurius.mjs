// Mercurius with its JIT and its own pub/sub in memory (mqemitter), as its documentation shows them.
import fastify from "fastify";
import mercurius from "mercurius";
import { ALL_ORDERS, topicOf, typeDefs } from "./schema.mjs";

const app = fastify();
const resolvers = {
  Query: { running: () => true },
  Subscription: { orderEvents: { subscribe: (_, given, { pubsub }) => pubsub.subscribe(topicOf(given)) } },
};
app.register(mercurius, { schema: typeDefs, resolvers, subscription: true, jit: 1 });
app.post("/publish", async (request) => {
  for (const event of request.body)
    for (const topic of [ALL_ORDERS, event.order.id])
      app.graphql.pubsub.publish({ topic, payload: { orderEvents: event } });
  return {};
});
await app.listen({ port: Number(process.argv[2]), host: "127.0.0.1" });
