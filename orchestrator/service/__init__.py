"""The HTTP service: submit, status, events, answer, cancel; health, metrics, and its OpenAPI document."""
