// Follows all events with each library of a kind at once: arguments are the server's URL, a token, and the cursor
// after which to begin. Prints a line of JSON for each event: the client, the event's cursor, and how many times the
// client has connected by then. When the connection is lost, each resumes after the last event that it has seen.
import { ApolloClient, ApolloLink, InMemoryCache, gql } from '@apollo/client'
import { GraphQLWsLink } from '@apollo/client/link/subscriptions'
import { Client, subscriptionExchange } from '@urql/core'
import { createClient as createSse } from 'graphql-sse'
import { createClient as createWs } from 'graphql-ws'
import { WebSocket } from 'ws'

globalThis.WebSocket ??= WebSocket // which browsers have, and Node from version 22 on
const [url, token, start] = process.argv.slice(1)
const authorization = `Bearer ${token}`
const query = 'subscription Events($after: String!) { orderEvents(after: $after) { cursor } }'
const pause = () => new Promise((resolve) => setTimeout(resolve, 100))

class Follower {
  constructor(name) {
    this.name = name
    this.variables = { after: start }
    this.connections = 0
  }

  connected() {
    this.connections += 1
  }

  seen(data) {
    const { cursor } = data.orderEvents
    this.variables.after = cursor
    console.log(JSON.stringify({ client: this.name, cursor, connections: this.connections }))
  }

  // For libraries that leave it to their user to subscribe again. `subscribe` is given the variables, what to call for
  // each event, and what to call when the subscription has ended.
  async resume(subscribe) {
    for (;;) {
      await new Promise((ended) => subscribe({ ...this.variables }, (data) => this.seen(data), ended))
      await pause()
    }
  }
}

const socket = (follower, options) =>
  createWs({
    url: url.replace('http', 'ws'),
    connectionParams: { authorization },
    retryWait: pause,
    on: { connected: () => follower.connected() },
    ...options,
  })

// These two connect again by themselves and then send the request anew, whose variables are up to date by then.
async function graphqlWs(follower) {
  const client = socket(follower, { retryAttempts: Infinity, shouldRetry: () => true })
  for await (const { data } of client.iterate({ query, variables: follower.variables })) follower.seen(data)
}

async function graphqlSse(follower) {
  const client = createSse({
    url,
    headers: { authorization },
    retryAttempts: Infinity,
    retry: pause,
    fetchFn: async (...request) => {
      const response = await fetch(...request)
      follower.connected()
      return response
    },
  })
  for await (const { data } of client.iterate({ query, variables: follower.variables })) follower.seen(data)
}

async function apollo(follower) {
  const client = new ApolloClient({
    cache: new InMemoryCache(),
    link: ApolloLink.from([new GraphQLWsLink(socket(follower, { retryAttempts: 0 }))]),
  })
  const document = gql(query)
  await follower.resume((variables, next, ended) =>
    client.subscribe({ query: document, variables, fetchPolicy: 'no-cache' }).subscribe({
      next: ({ data, error }) => (error ? ended() : next(data)),
      error: ended,
      complete: ended,
    }),
  )
}

async function urql(follower) {
  const wire = socket(follower, { retryAttempts: 0 })
  const forwardSubscription = (request) => ({
    subscribe: (sink) => ({ unsubscribe: wire.subscribe(request, sink) }),
  })
  const client = new Client({ url, exchanges: [subscriptionExchange({ forwardSubscription })] })
  await follower.resume((variables, next, ended) => {
    client.subscription(query, variables).subscribe(({ data, error }) => (error ? ended() : next(data)))
  })
}

for (const [name, follow] of Object.entries({ graphqlWs, graphqlSse, apollo, urql })) follow(new Follower(name))
