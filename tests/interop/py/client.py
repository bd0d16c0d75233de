"""pympp as the buyer: pays for a URL and prints one JSON line an answer. See ../README.md."""

import asyncio
import base64
import json
from typing import Any

import httpx
from lib import configuration, describe, emit
from mpp import Challenge, Receipt
from mpp.client import Mpp
from mpp.methods.tempo import TempoAccount
from mpp.methods.tempo import client as tempo
from mpp.runtime import CredentialParams

config = configuration(["url", "rpcUrl", "chainId", "privateKey"])


def answer_of(response: httpx.Response) -> dict[str, Any]:
    """The answer as the line reports it."""
    line: dict[str, Any] = {
        "status": response.status_code,
        "headers": dict(response.headers),
        "body": response.text,
    }
    if (receipt := response.headers.get("payment-receipt")) is not None:
        try:
            Receipt.from_payment_receipt(receipt)
            line["receipt"] = wire_receipt(receipt)
        except Exception as error:
            line["receiptError"] = describe(error)
    return line


def wire_receipt(header: str) -> Any:
    """The receipt's own JSON, which pympp has just accepted."""
    return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))


async def sign(method: Any, client: httpx.AsyncClient, trace: dict[str, Any]) -> dict[str, Any]:
    """Signs the payment but leaves the credential unsent."""
    response = await client.request(**request())
    trace["offers"] = response.headers["www-authenticate"]
    challenge = Challenge.from_www_authenticate(trace["offers"])
    trace["credential"] = await method.create_credential(CredentialParams(challenge=challenge))
    return {"status": response.status_code, "headers": dict(response.headers), "body": ""}


def request() -> dict[str, Any]:
    """The request that is paid for."""
    return {
        "method": config.get("method", "GET"),
        "url": config["url"],
        "headers": config.get("headers", {}),
        "content": config.get("body"),
    }


async def main() -> None:
    """Pays ``count`` times, one after the other."""
    if config.get("mode", "auto") == "push":
        message = "pympp pays in pull mode only"
        emit({"n": 0, "status": None, "headers": {}, "body": "", "error": {"type": "Unsupported", "message": message}})
        return
    method = tempo.charge(
        account=TempoAccount.from_key(config["privateKey"]),
        chain_id=config["chainId"],
        rpc_url=config["rpcUrl"],
        client_id=config.get("clientId"),
        expected_recipients=config.get("expectedRecipients"),
    )
    trace: dict[str, Any] = {}
    payer = Mpp(methods=[method], max_payment_retries=config.get("maxPaymentRetries", 1))
    payer.on_challenge_received(lambda event: note_challenge(trace, event))
    payer.on_credential_created(lambda event: trace.update(credential=event["credential"].to_authorization()))
    async with payer.client(timeout=60) as paying, httpx.AsyncClient(timeout=60) as plain:
        for n in range(config.get("count", 1)):
            trace.clear()
            try:
                if config.get("sendCredential", True):
                    line = answer_of(await paying.request(**request()))
                else:
                    line = await sign(method, plain, trace)
                emit({"n": n, **line, **trace})
            except Exception as error:
                emit({"n": n, "status": None, "headers": {}, "body": "", **trace, "error": describe(error)})


def note_challenge(trace: dict[str, Any], event: Any) -> None:
    """Keeps the offers as they came and the one that pympp picked."""
    trace["offers"] = event["response"].headers.get("www-authenticate")
    challenge = event["challenge"]
    trace["challenge"] = challenge.to_www_authenticate(challenge.realm)


asyncio.run(main())
