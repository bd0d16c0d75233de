// mppx as the buyer: pays for a URL and prints one JSON line an answer. See ../README.md.

import { Challenge, Receipt } from 'mppx'
import { Mppx, tempo } from 'mppx/client'
import { privateKeyToAccount } from 'viem/accounts'

import { chainClient, configuration, describe, print } from './lib.mjs'

const config = configuration(['url', 'rpcUrl', 'chainId', 'privateKey'])
const client = chainClient(config)
const account = privateKeyToAccount(config.privateKey)

const mppx = Mppx.create({
  polyfill: false,
  maxPaymentRetries: config.maxPaymentRetries ?? 1,
  methods: [
    tempo.charge({
      account,
      getClient: () => client,
      expectedChainId: config.chainId,
      ...(config.mode && config.mode !== 'auto' && { mode: config.mode }),
      ...(config.clientId && { clientId: config.clientId }),
      ...(config.expectedRecipients && { expectedRecipients: config.expectedRecipients }),
    }),
  ],
})

/** What mppx did while it paid, kept for the line that reports it. */
let trace = {}
mppx.onChallengeReceived(({ challenge, response }) => {
  trace.offers = response?.headers.get('www-authenticate') ?? undefined
  trace.challenge = Challenge.serialize(challenge)
})
mppx.onCredentialCreated(({ credential }) => {
  trace.credential = credential
})

const init = {
  method: config.method ?? 'GET',
  headers: config.headers ?? {},
  ...(config.body != null && { body: config.body }),
}

function receiptOf(response) {
  if (!response.headers.has('payment-receipt')) return {}
  try {
    return { receipt: Receipt.fromResponse(response) }
  } catch (error) {
    return { receiptError: describe(error) }
  }
}

/** Pays and returns the whole answer. */
async function pay() {
  const response = await mppx.fetch(config.url, init)
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    ...receiptOf(response),
    body: await response.text(),
  }
}

/** Signs (and, in push mode, broadcasts) the payment, but leaves the credential unsent. */
async function sign() {
  const response = await mppx.rawFetch(config.url, init)
  await mppx.createCredential(response)
  return { status: response.status, headers: Object.fromEntries(response.headers), body: '' }
}

for (let n = 0; n < (config.count ?? 1); n += 1) {
  trace = {}
  try {
    const answer = await (config.sendCredential === false ? sign() : pay())
    print({ n, ...answer, ...trace })
  } catch (error) {
    print({ n, status: null, headers: {}, body: '', ...trace, error: describe(error) })
  }
}
