"""Verifies webhooks with the library of Standard Webhooks: one JSON object a line in, `ok` or what is wrong out."""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    call = json.loads(line)
    try:
        Webhook(call["secret"]).verify(call["body"], call["headers"])
        print("ok", flush=True)
    except WebhookVerificationError as error:
        print(f"refused: {error}", flush=True)
