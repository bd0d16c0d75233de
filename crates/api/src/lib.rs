//! The billing layer over HTTP: the `/v1` API, its OpenAPI document, live streams of balances, and webhooks.
