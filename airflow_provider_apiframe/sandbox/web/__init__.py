"""The sandbox's HTTP side: routes, validation, responses, faults, webhooks."""
