// graphql-http's audits of the server at the given URL: a line of JSON with the status of each.
import { auditServer } from 'graphql-http'

const results = await auditServer({ url: process.argv[1] })
console.log(JSON.stringify(results.map(({ id, name, status, reason }) => ({ id, name, status, reason }))))
