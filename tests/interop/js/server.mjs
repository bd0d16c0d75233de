// mppx as the seller: an HTTP server with one route a feature. See ../README.md.

import { createServer } from 'node:http'

import { Expires, Mppx, Request as NodeRequest, Store, tempo } from 'mppx/server'
import { privateKeyToAccount } from 'viem/accounts'

import { chainClient, configuration, describe, fail, print, untilParentLeaves } from './lib.mjs'

const config = configuration(['rpcUrl', 'chainId', 'recipient', 'currency', 'secretKey'])
const client = chainClient(config)
const amount = config.amount ?? '10000'
const feePayer = config.feePayerKey && privateKeyToAccount(config.feePayerKey)

const mppx = Mppx.create({
  secretKey: config.secretKey,
  ...(config.realm && { realm: config.realm }),
  ...(config.requiresAuth && { requiresAuth: true }),
  methods: [
    tempo.charge({
      currency: config.currency,
      recipient: config.recipient,
      // Amounts in the configuration are base units.
      decimals: 0,
      // Given explicitly because mppx refuses used proofs only then.
      store: Store.memory(),
      getClient: () => client,
    }),
  ],
})

/** The route's price; a route that the configuration cannot serve is absent. */
function routes() {
  const table = {
    '/charge': { amount },
    '/proof': { amount: '0' },
    '/push': { amount, supportedModes: ['push'] },
    '/pull': { amount, supportedModes: ['pull'] },
    '/described': { amount, description: 'Wetterbericht für Köln — “heute” \u{1F326}', externalId: 'order-42' },
  }
  if (feePayer) table['/sponsored'] = { amount, feePayer }
  if (config.splits) table['/splits'] = { amount, splits: config.splits }
  if (feePayer && config.splits) table['/sponsored-splits'] = { amount, feePayer, splits: config.splits }
  return table
}
const prices = routes()

/** The paid content: enough of the request for a test to see that it arrived whole. */
async function content(request, path) {
  const body = request.method === 'GET' || request.method === 'HEAD' ? undefined : await request.text()
  return Response.json({ peer: 'mppx', path, method: request.method, ...(body !== undefined && { body }) })
}

async function handle(request) {
  const path = new URL(request.url).pathname
  if (path === '/free') return content(request, path)
  const price = prices[path]
  if (!price) return Response.json({ error: `no such route: ${path}` }, { status: 404 })
  const expires = Expires.seconds(config.expiresSeconds ?? 25)
  const answer = await mppx.charge({ ...price, expires })(request.clone())
  if (answer.status === 402) return answer.challenge
  return answer.withReceipt(await content(request, path))
}

const server = createServer(
  NodeRequest.toNodeListener(handle, {
    onError(error) {
      process.stderr.write(`${JSON.stringify(describe(error))}\n`)
      return Response.json({ error: describe(error) }, { status: 500 })
    },
  }),
)
server.on('error', (error) => fail(`cannot listen: ${error.message}`))
server.listen(config.port ?? 0, '127.0.0.1', () => {
  print({ ready: true, url: `http://127.0.0.1:${server.address().port}`, routes: ['/free', ...Object.keys(prices)] })
})

// Failed payments say why on standard error, so that a failing test can show it.
mppx.onPaymentFailed(({ error }) => process.stderr.write(`${JSON.stringify(describe(error))}\n`))

untilParentLeaves(config.maxSeconds ?? 300, () => process.exit(0))
