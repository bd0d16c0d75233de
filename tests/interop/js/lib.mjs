// What the three scripts share: the configuration argument, the printed lines and the viem client.

import { createClient, http } from 'viem'
import { tempo } from 'viem/tempo/chains'

/** The one JSON argument of a script, with every key in `required` present. */
export function configuration(required) {
  const text = process.argv[2]
  if (text === undefined) fail('expected one JSON object as the only argument')
  let config
  try {
    config = JSON.parse(text)
  } catch (error) {
    fail(`the argument is not JSON: ${error.message}`)
  }
  const missing = required.filter((key) => config[key] === undefined)
  if (missing.length > 0) fail(`missing configuration: ${missing.join(', ')}`)
  return config
}

/** One JSON object, one line, on standard output. */
export function print(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

/** Says what is wrong with the call itself and ends with 2. */
export function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exit(2)
}

/** The text of one error; a schema's refusal becomes one line instead of a JSON document. */
function textOf(error) {
  if (Array.isArray(error.issues)) {
    return error.issues.map(({ path, code }) => `${path.join('.') || 'value'}: ${code}`).join(', ')
  }
  return error.shortMessage ?? error.message ?? String(error)
}

/** An error and its causes, which is where viem and undici keep the reason. */
export function describe(error) {
  const parts = []
  for (let at = error; at && parts.length < 5; at = at.cause) {
    const text = textOf(at)
    const detail = typeof at.details === 'string' && !text.includes(at.details) ? `${text} (${at.details})` : text
    if (detail && !parts.includes(detail)) parts.push(detail)
  }
  return { type: error?.name ?? 'Error', message: parts.join(': ') || String(error) }
}

/**
 * A viem client of the chain under test. mppx knows the RPC URLs of two public chains only, so
 * both of its sides are given this through `getClient`.
 */
export function chainClient({ rpcUrl, chainId, pollingInterval = 200 }) {
  const chain = {
    ...tempo,
    id: chainId,
    name: `tempo ${chainId}`,
    rpcUrls: { default: { http: [rpcUrl] } },
    blockExplorers: undefined,
  }
  return createClient({ chain, pollingInterval, transport: http(rpcUrl, { retryCount: 1 }) })
}

/** Ends the process with its parent's pipe, or after `seconds`, whichever comes first. */
export function untilParentLeaves(seconds, stop) {
  process.stdin.on('end', stop)
  process.stdin.on('error', stop)
  process.stdin.resume()
  setTimeout(stop, seconds * 1000).unref()
}
