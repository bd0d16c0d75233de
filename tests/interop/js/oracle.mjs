// mppx as the oracle: one JSON request a line on standard input, one JSON answer a line, in order.
// The envelope is that of the public conformance registry; each operation is one call into mppx.
// See ../README.md for the inputs and the values.

import { BodyDigest, Challenge, Credential, PaymentRequest, Receipt } from 'mppx'
import { Proof } from 'mppx/tempo'
import { Base64 } from 'ox'

import { describe } from './lib.mjs'

// Both are mppx's own, but its package does not export them.
const internal = (path) => import(new URL(path, import.meta.resolve('mppx')))
const AcceptPayment = await internal('./internal/AcceptPayment.js')
const Attribution = await internal('./tempo/Attribution.js')

/** An offer as mppx ranks it, from its key `method/intent`. */
function offer(key, index) {
  const [method, intent] = key.split('/')
  return { method, intent, index }
}

const operations = {
  'challenge.parse': ({ header }) => Challenge.deserialize(header),
  'challenge.parseList': ({ header }) => ({ challenges: Challenge.deserializeList(header) }),
  'challenge.format': (input) => ({ header: Challenge.serialize(Challenge.from(input)) }),
  'challenge.id': (input) => ({ id: Challenge.from(input).id }),
  'challenge.verify': ({ header, secretKey }) => ({
    valid: Challenge.verify(Challenge.deserialize(header), { secretKey }),
  }),
  'credential.parse': ({ header }) => Credential.deserialize(header),
  'credential.extract': ({ header }) => ({ header: Credential.extractPaymentScheme(header) }),
  'credential.format': (input) => ({ header: Credential.serialize(Credential.from(input)) }),
  'receipt.parse': ({ header }) => Receipt.deserialize(header),
  'receipt.format': (input) => ({ header: Receipt.serialize(Receipt.from(input)) }),
  'base64url.encode': ({ text }) => ({ text: Base64.fromString(text, { pad: false, url: true }) }),
  'base64url.decode': ({ text }) => ({ text: Base64.toString(text) }),
  'request.encode': ({ request }) => ({ text: PaymentRequest.serialize(request) }),
  'request.decode': ({ text }) => ({ request: PaymentRequest.deserialize(text) }),
  'json.canonicalize': ({ value }) => ({ text: Base64.toString(PaymentRequest.serialize(value)) }),
  'digest.compute': ({ body }) => ({ digest: BodyDigest.compute(body) }),
  'digest.verify': ({ body, digest }) => ({ valid: BodyDigest.verify(digest, body) }),
  'accept.parse': ({ header }) => ({
    entries: AcceptPayment.parse(header).map(({ method, intent, q }) => ({ method, intent, q })),
  }),
  'accept.rank': ({ header, offers }) => ({
    order: AcceptPayment.rank(offers.map(offer), AcceptPayment.parse(header)).map(({ index }) => index),
  }),
  'attribution.memo': ({ challengeId, realm, clientId }) => ({
    memo: Attribution.encode({ challengeId, serverId: realm, clientId }),
  }),
  'attribution.check': ({ memo, challengeId, realm }) => ({
    isMpp: Attribution.isMppMemo(memo),
    realm: Attribution.verifyServer(memo, realm),
    challenge: Attribution.verifyChallengeBinding(memo, challengeId),
  }),
  'proof.hash': ({ account, chainId, challengeId, realm }) => ({
    hash: Proof.hash({ account, chainId, challengeId, realm }),
  }),
  'proof.source': ({ source }) => {
    const parsed = Proof.parsePkhSource(source)
    if (!parsed) throw new Error('not a did:pkh:eip155 source')
    return parsed
  },
}

/** The registry's error type of a refused operation, by the operation's last word. */
const errorTypes = {
  parse: 'parse_error',
  parseList: 'parse_error',
  extract: 'parse_error',
  source: 'parse_error',
  rank: 'parse_error',
  format: 'format_error',
  encode: 'encoding_error',
  decode: 'encoding_error',
  canonicalize: 'encoding_error',
  id: 'generation_error',
  memo: 'generation_error',
  verify: 'verification_error',
  check: 'verification_error',
}
const errorType = (op) => errorTypes[op.split('.').at(-1)] ?? 'unknown_error'

const refuse = (type, message) => ({ ok: false, error: { type, message } })

function answer(line) {
  let request
  try {
    request = JSON.parse(line)
  } catch (error) {
    return refuse('unknown_error', `the line is not JSON: ${error.message}`)
  }
  const { op, input } = request ?? {}
  if (!Object.hasOwn(operations, op)) return refuse('unsupported_operation', `unknown operation: ${op}`)
  try {
    return { ok: true, value: operations[op](input) }
  } catch (error) {
    return refuse(errorType(op), describe(error).message)
  }
}

// Cut at line feeds only: `readline` also cuts at U+2028 and U+2029, which JSON strings may hold.
let pending = ''
process.stdin.setEncoding('utf8')
process.stdin.on('data', (chunk) => {
  const lines = (pending + chunk).split('\n')
  pending = lines.pop()
  const answers = lines.filter((line) => line.trim() !== '').map((line) => JSON.stringify(answer(line)))
  if (answers.length > 0) process.stdout.write(`${answers.join('\n')}\n`)
})
process.stdin.on('end', () => {
  if (pending.trim() !== '') process.stdout.write(`${JSON.stringify(answer(pending))}\n`)
})
