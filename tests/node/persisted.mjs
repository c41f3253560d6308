// Asks the same query twice by each library's automatic persisted queries: arguments are the server's URL and a token.
// Prints a line of JSON with the answers, and with what was sent for them: the method, and whether the query's text
// was part of it.
import { createHash } from 'node:crypto'
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client'
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries'
import { Client, fetchExchange } from '@urql/core'
import { persistedExchange } from '@urql/exchange-persisted'

const [url, token] = process.argv.slice(1)
const headers = { authorization: `Bearer ${token}` }
const sha256 = (text) => createHash('sha256').update(text).digest('hex')

const recording = (sent) => (address, options) => {
  const request = options.body ? JSON.parse(options.body) : Object.fromEntries(new URL(address).searchParams)
  sent.push([options.method, 'query' in request])
  return fetch(address, options)
}

async function apollo(sent) {
  const client = new ApolloClient({
    cache: new InMemoryCache(),
    link: ApolloLink.from([
      new PersistedQueryLink({ sha256, useGETForHashedQueries: true }),
      new HttpLink({ uri: url, headers, fetch: recording(sent) }),
    ]),
  })
  const query = gql`
    query FromApollo {
      viewer {
        name
      }
    }
  `
  const ask = async () => (await client.query({ query, fetchPolicy: 'no-cache' })).data.viewer.name
  return [await ask(), await ask()]
}

async function urql(sent) {
  const client = new Client({
    url,
    fetch: recording(sent),
    fetchOptions: { headers },
    preferGetMethod: false,
    exchanges: [persistedExchange({ preferGetForPersistedQueries: true }), fetchExchange],
  })
  const ask = async () => (await client.query('query FromUrql { viewer { name } }', {}).toPromise()).data.viewer.name
  return [await ask(), await ask()]
}

const results = Object.entries({ apollo, urql }).map(async ([name, ask]) => {
  const sent = []
  return [name, { answers: await ask(sent), sent }]
})
console.log(JSON.stringify(Object.fromEntries(await Promise.all(results))))
